import numpy as np
import pandas as pd
import pytest

from sgps.evaluation import Prediction, metrics
from sgps.evaluation.scores import MethodTally, QueryTruth
from sgps.evaluation.subgroups import Subgroups

LABELS_Q = np.array([0, 0, 1, 1, 1])
NAMES = ("a", "b")


def draw_probs(seed: int, queries: int):
    logits = np.random.default_rng(seed).normal(size=(queries, 2))
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def score(prediction: Prediction, truth: QueryTruth, subgroups: Subgroups | None = None):
    tally = MethodTally(subgroups)
    for _ in range(2):
        tally.add(prediction, truth, NAMES)
    return tally.scores()


def first(scores) -> dict[str, float]:
    return {name: values[0] for name, values in scores.by_episode.items()}


def test_figures_are_those_of_the_metrics():
    probs_QN = draw_probs(0, 5)
    figures = first(score(Prediction(probs_QN, 0.5, 0.25), QueryTruth(LABELS_Q, np.arange(5))))
    assert figures["accuracy"] == metrics.accuracy(probs_QN, LABELS_Q)
    assert figures["balanced_accuracy"] == metrics.balanced_accuracy(probs_QN, LABELS_Q)
    assert figures["auroc"] == metrics.auroc(probs_QN, LABELS_Q)
    assert figures["brier"] == metrics.brier(probs_QN, LABELS_Q)
    recalls = metrics.per_class_recall(probs_QN, LABELS_Q)
    assert [figures["recall:a"], figures["recall:b"]] == recalls.tolist()
    assert figures["seconds_per_synthesis"] == 0.5
    assert figures["seconds_per_query"] == 0.05


def test_absent_images_count_in_their_own_figure_only():
    probs_QN, absent_AN = draw_probs(0, 5), draw_probs(1, 3)
    alone = first(score(Prediction(probs_QN, 0.0), QueryTruth(LABELS_Q, np.arange(5))))
    joined = Prediction(np.concatenate([probs_QN, absent_AN]), 0.0)
    truth = QueryTruth(LABELS_Q, np.arange(5), absent=3)
    figures = first(score(joined, truth))
    assert np.isnan(alone.pop("absent_auroc"))
    expected = metrics.ranking_auroc(probs_QN.max(1), absent_AN.max(1))
    assert figures.pop("absent_auroc") == expected
    assert figures == pytest.approx(alone, nan_ok=True)
    assert truth.count == 8


def test_familiarity_takes_the_place_of_the_highest_probability():
    probs = draw_probs(0, 8)
    familiarity_Q = np.array([5.0, 4, 3, 2, 1, 9, 0, 0])
    truth = QueryTruth(LABELS_Q, np.arange(5), absent=3)
    figures = first(score(Prediction(probs, 0.0, familiarity_Q=familiarity_Q), truth))
    assert figures["absent_auroc"] == pytest.approx(10 / 15)


def test_corrupted_copies_count_in_their_own_figures_only():
    probs_QN, blurred_QN, noisy_QN = (draw_probs(seed, 5) for seed in range(3))
    absent_AN = draw_probs(3, 2)
    prediction = Prediction(np.concatenate([probs_QN, absent_AN, blurred_QN, noisy_QN]), 0.0)
    truth = QueryTruth(LABELS_Q, np.arange(5), absent=2, corruptions=("blur", "noise"))
    figures = first(score(prediction, truth))
    assert truth.count == len(prediction.probs_QN)
    assert figures["accuracy"] == metrics.accuracy(probs_QN, LABELS_Q)
    assert figures["accuracy:clean"] == figures["accuracy"]
    assert figures["accuracy:blur"] == metrics.accuracy(blurred_QN, LABELS_Q)
    assert figures["accuracy:noise"] == metrics.accuracy(noisy_QN, LABELS_Q)
    assert figures["absent_auroc"] == metrics.ranking_auroc(probs_QN.max(1), absent_AN.max(1))


def test_what_was_not_measured_is_absent():
    scores = score(Prediction(draw_probs(0, 5), 0.0), QueryTruth(LABELS_Q, np.arange(5)))
    assert set(scores.intervals()) == {
        "accuracy", "balanced_accuracy", "auroc", "brier", "ece", "seconds_per_synthesis",
        "recall:a", "recall:b",
    }  # fmt: skip
    assert scores.subgroups == {}


def test_classes_may_change_from_episode_to_episode():
    tally = MethodTally()
    truth = QueryTruth(np.array([0, 1]), np.arange(2))
    for names in (("a", "b"), ("b", "c"), ("a", "b")):
        tally.add(Prediction(np.eye(2), 0.0), truth, names)
    by_episode = tally.scores().by_episode
    np.testing.assert_array_equal(by_episode["recall:a"], [1, np.nan, 1])
    np.testing.assert_array_equal(by_episode["recall:c"], [np.nan, 1, np.nan])
    assert set(tally.scores().intervals()) >= {"recall:a", "recall:b"}
    assert "recall:c" not in tally.scores().intervals()


def test_subgroups_are_found_by_the_rows_of_the_queries():
    subgroups = Subgroups.from_frame(
        pd.DataFrame({"sex": ["male", "female", "male", "female"], "group": list("aabb")})
    )
    prediction = Prediction(np.eye(2), 0.0)
    scores = score(prediction, QueryTruth(np.array([0, 0]), np.array([3, 2])), subgroups)
    sexes = scores.subgroups["sex"]
    assert {name: sexes[name]["mean"] for name in sexes} == {"female": 1, "male": 0}
    assert {name: sexes[name]["queries"] for name in sexes} == {"female": 2, "male": 2}
    assert {(sexes[name]["images"], sexes[name]["groups"]) for name in sexes} == {(1, 1)}
