import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from frozen_example import drawn_episode, untrained_base
from scipy.spatial.distance import cdist

from sgps.evaluation.baselines.centroids import NearestCentroid
from sgps.evaluation.baselines.easyfsl_methods import easyfsl_baselines
from sgps.evaluation.features import VIEWS, TapBank
from sgps.evaluation.methods import EpisodeInputs


@pytest.fixture
def base() -> TapBank:
    return untrained_base("meta")


@pytest.fixture
def episode() -> EpisodeInputs:
    """Noise, a little brighter in channel c for class c; 2 shots, 20 queries a class."""
    return drawn_episode(queries=20, noise=200, brightness=10)


def test_protonet_ranks_as_our_nearest_centroid_and_scipys_distances(base, episode):
    answers = easyfsl_baselines(base)[0].predict(episode).probs_QN.argmax(1)
    own = NearestCentroid(base=base, taps="last", centring=None, unit_rows=False, views=VIEWS)
    np.testing.assert_array_equal(answers, own.predict(episode).probs_QN.argmax(1))
    rows_S = np.concatenate(episode.support_rows)
    support_SD = np.concatenate([base.last(episode.pool, rows_S, view) for view in range(VIEWS)])
    classes_S = np.tile(episode.support_labels, VIEWS)
    means_ND = np.stack([support_SD[classes_S == number].mean(0) for number in range(3)])
    distances_QN = cdist(base.last(episode.pool, episode.query_rows), means_ND)
    np.testing.assert_array_equal(answers, distances_QN.argmin(1))


def test_simpleshot_by_hand(base, episode):
    method = replace(easyfsl_baselines(base)[1], views=1, temperature=0.5)
    support_SD = base.last(episode.pool, np.concatenate(episode.support_rows))
    query_QD = base.last(episode.pool, episode.query_rows)
    centre_D = support_SD.mean(0)

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    means_ND = unit(support_SD - centre_D).reshape(3, 2, -1).mean(1)
    odds_QN = np.exp(unit(query_QD - centre_D) @ unit(means_ND).T / 0.5)
    expected_QN = odds_QN / odds_QN.sum(1, keepdims=True)
    np.testing.assert_allclose(method.predict(episode).probs_QN, expected_QN)


@pytest.mark.parametrize("number", range(2))
def test_answers_are_probabilities_in_the_order_of_the_classes(base, episode, number):
    method = easyfsl_baselines(base)[number]
    prediction = method.predict(episode)
    assert prediction.probs_QN.dtype == np.float64
    np.testing.assert_allclose(prediction.probs_QN.sum(1), 1)
    assert prediction.seconds > 0
    assert prediction.query_seconds > 0
    order = [2, 0, 1]
    reordered = replace(episode, support_rows=tuple(episode.support_rows[place] for place in order))
    np.testing.assert_allclose(
        method.predict(reordered).probs_QN, prediction.probs_QN[:, order], atol=1e-9
    )


@pytest.mark.parametrize("number", range(2))
def test_queries_are_read_from_their_own_pool(base, episode, number):
    method = easyfsl_baselines(base)[number]
    swapped = replace(
        episode,
        pool=np.concatenate([episode.pool, episode.pool[::-1]]),
        query_pool=np.concatenate([episode.pool[::-1], episode.pool]),
    )
    mirrored = replace(episode, query_rows=len(episode.pool) - 1 - episode.query_rows)
    np.testing.assert_allclose(
        method.predict(swapped).probs_QN, method.predict(mirrored).probs_QN, atol=1e-5
    )


def test_names_and_details(base):
    listed = easyfsl_baselines(base)
    assert [method.name for method in listed] == [
        "meta/easyfsl_protonet",
        "meta/easyfsl_simpleshot",
    ]
    for method in listed:
        assert not method.iterative
        details = json.loads(json.dumps(method.details()))
        assert details["easyfsl"] == "1.5.0"
        assert details["base_version"] == "0" * 64


def test_the_library_is_imported_when_it_is_used():
    code = (
        "import sys, sgps.evaluation.baselines.easyfsl_methods; sys.exit('easyfsl' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
