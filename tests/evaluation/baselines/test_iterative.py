"""What holds for every baseline that takes gradient steps on the support."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from sgps.evaluation.baselines.fine_tuning import (
    FineTuneLinear,
    FineTuner,
    FineTuneRidge,
    FineTuning,
    HeadOnly,
)
from sgps.evaluation.baselines.iterative import iterative_baselines
from sgps.evaluation.baselines.meta_learning import Anil, Maml
from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import Method


def methods(base: TapBank) -> list[Method]:
    tuner = FineTuner(base, FineTuning(steps=2, body_rate=1e-5))
    return [
        HeadOnly(base, steps=3),
        Anil(base, steps=3),
        Maml(base, steps=2),
        FineTuneLinear(tuner),
        FineTuneRidge(tuner),
    ]


@pytest.mark.parametrize("number", range(5))
def test_plain_colours_are_told_apart(base, episode, number):
    prediction = methods(base)[number].predict(episode)
    assert prediction.probs_QN.shape == (9, 3)
    assert prediction.probs_QN.dtype == np.float64
    np.testing.assert_allclose(prediction.probs_QN.sum(1), 1)
    np.testing.assert_array_equal(prediction.probs_QN.argmax(1), np.repeat([0, 1, 2], 3))
    assert prediction.seconds > 0
    assert prediction.query_seconds > 0


@pytest.mark.parametrize("number", range(5))
def test_order_of_classes_and_images_changes_nothing(base, episode, number):
    order = [2, 0, 1]
    reordered = replace(
        episode,
        class_names=tuple(episode.class_names[place] for place in order),
        support_rows=tuple(episode.support_rows[place][::-1] for place in order),
    )
    expected = methods(base)[number].predict(episode).probs_QN[:, order]
    np.testing.assert_array_equal(methods(base)[number].predict(reordered).probs_QN, expected)


@pytest.mark.parametrize("number", range(5))
def test_the_same_episode_gives_the_same_answer_whatever_the_global_seed(base, episode, number):
    torch.manual_seed(1)
    first = methods(base)[number].predict(episode)
    torch.manual_seed(2)
    again = methods(base)[number].predict(episode)
    np.testing.assert_array_equal(first.probs_QN, again.probs_QN)


def test_queries_are_read_from_their_own_pool(base, episode):
    swapped = replace(episode, query_pool=np.ascontiguousarray(episode.pool[:, [1, 2, 0]]))
    for method in methods(base):
        answers = method.predict(swapped).probs_QN.argmax(1)
        np.testing.assert_array_equal(answers, np.repeat([2, 0, 1], 3))


def test_names_and_details(base):
    listed = iterative_baselines(base)
    assert [method.name for method in listed] == [
        "public/head_only",
        "public/anil",
        "public/maml",
        "public/fine_tune_linear",
        "public/fine_tune_ridge",
    ]
    for method in listed:
        assert method.iterative
        details = json.loads(json.dumps(method.details()))
        assert details["base_version"] == "0" * 64
        assert details["steps"] > 0
    assert listed[3].tuner is listed[4].tuner
    assert "running statistics" in listed[3].details()["normalisation"]
