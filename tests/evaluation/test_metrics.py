import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from sgps.evaluation import metrics


def draw(seed: int, queries: int = 60, n_way: int = 4):
    rng = np.random.default_rng(seed)
    labels_Q = rng.permutation(np.arange(queries) % n_way)
    logits_QN = rng.normal(size=(queries, n_way)) + 1.2 * np.eye(n_way)[labels_Q]
    probs_QN = np.exp(logits_QN).round(1)
    return probs_QN / probs_QN.sum(1, keepdims=True), labels_Q


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_way", [2, 3, 6])
def test_agrees_with_scikit_learn(seed, n_way):
    probs_QN, labels_Q = draw(seed, n_way=n_way)
    guesses_Q = probs_QN.argmax(1)
    one_hot_QN = np.eye(n_way)[labels_Q]
    assert metrics.accuracy(probs_QN, labels_Q) == reference.accuracy_score(labels_Q, guesses_Q)
    assert metrics.balanced_accuracy(probs_QN, labels_Q) == pytest.approx(
        reference.balanced_accuracy_score(labels_Q, guesses_Q)
    )
    np.testing.assert_allclose(
        metrics.per_class_recall(probs_QN, labels_Q),
        reference.recall_score(labels_Q, guesses_Q, average=None, labels=range(n_way)),
    )
    assert metrics.auroc(probs_QN, labels_Q) == pytest.approx(
        reference.roc_auc_score(one_hot_QN, probs_QN, average="macro")
    )
    assert metrics.brier(probs_QN, labels_Q) == pytest.approx(
        reference.brier_score_loss(labels_Q, probs_QN, labels=range(n_way), scale_by_half=False)
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bins", [5, 15])
def test_calibration_error_agrees_with_its_definition(seed, bins):
    probs_QN, labels_Q = draw(seed)
    error = 0.0
    for bin_number in range(bins):
        low, high = bin_number / bins, (bin_number + 1) / bins
        inside = [
            (row.max(), float(row.argmax() == label))
            for row, label in zip(probs_QN, labels_Q, strict=True)
            if low < row.max() <= high
        ]
        if inside:
            confidence, hit_rate = np.mean(inside, axis=0)
            error += len(inside) / len(labels_Q) * abs(confidence - hit_rate)
    assert metrics.expected_calibration_error(probs_QN, labels_Q, bins=bins) == pytest.approx(error)


def test_perfect_certain_predictions():
    labels_Q = np.array([0, 1, 2, 1])
    probs_QN = np.eye(3)[labels_Q]
    assert metrics.accuracy(probs_QN, labels_Q) == 1
    assert metrics.auroc(probs_QN, labels_Q) == 1
    assert metrics.brier(probs_QN, labels_Q) == 0
    assert metrics.expected_calibration_error(probs_QN, labels_Q) == 0


def test_wrong_certain_predictions():
    labels_Q = np.array([0, 1, 0, 1])
    probs_QN = np.eye(2)[1 - labels_Q]
    assert metrics.accuracy(probs_QN, labels_Q) == 0
    assert metrics.auroc(probs_QN, labels_Q) == 0
    assert metrics.brier(probs_QN, labels_Q) == 2
    assert metrics.expected_calibration_error(probs_QN, labels_Q) == 1


def test_ties_count_half_in_auroc():
    assert metrics.auroc(np.full((6, 3), 1 / 3), np.array([0, 0, 1, 1, 2, 2])) == 0.5


def test_classes_without_queries_are_left_out():
    probs_QN = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.6, 0.3, 0.1]])
    labels_Q = np.array([0, 1, 1])
    np.testing.assert_array_equal(metrics.per_class_recall(probs_QN, labels_Q), [1, 0.5, np.nan])
    assert metrics.balanced_accuracy(probs_QN, labels_Q) == 0.75
    assert metrics.auroc(probs_QN, labels_Q) == 1
    assert np.isnan(metrics.auroc(probs_QN[:1], labels_Q[:1]))


@given(st.integers(0, 10_000), st.integers(2, 8), st.integers(1, 50))
def test_ranges_and_query_order(seed, n_way, queries):
    probs_QN, labels_Q = draw(seed, queries, n_way)
    order = np.random.default_rng(seed).permutation(queries)
    ranges = {
        metrics.accuracy: 1,
        metrics.balanced_accuracy: 1,
        metrics.expected_calibration_error: 1,
        metrics.brier: 2,
    }
    for metric, highest in ranges.items():
        value = metric(probs_QN, labels_Q)
        assert 0 <= value <= highest + 1e-12
        assert value == pytest.approx(metric(probs_QN[order], labels_Q[order]), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_ranking_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    positives, negatives = rng.normal(0.5, 1, 30).round(1), rng.normal(0, 1, 11).round(1)
    truth = np.repeat([1, 0], [30, 11])
    expected = reference.roc_auc_score(truth, np.concatenate([positives, negatives]))
    assert metrics.ranking_auroc(positives, negatives) == pytest.approx(expected)
    swapped = metrics.ranking_auroc(negatives, positives)
    assert swapped == pytest.approx(1 - expected)


def test_nothing_to_rank_has_no_area():
    assert np.isnan(metrics.ranking_auroc(np.ones(3), np.ones(0)))
    assert np.isnan(metrics.ranking_auroc(np.ones(0), np.ones(3)))


def test_risk_coverage_by_hand():
    confidence_Q = np.array([0.9, 0.5, 0.8, 0.6])
    hits_Q = np.array([1.0, 0.0, 1.0, 0.0])
    coverage, accuracy = metrics.risk_coverage(confidence_Q, hits_Q, points=4)
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(accuracy, [1, 1, 2 / 3, 1 / 2])


def test_equal_confidence_gives_the_mean_accuracy_at_every_coverage():
    _, accuracy = metrics.risk_coverage(np.full(8, 0.4), np.array([1.0] * 2 + [0.0] * 6))
    np.testing.assert_allclose(accuracy, 0.25)


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_risk_coverage_ends_at_the_accuracy_and_ignores_the_order(seed, queries):
    rng = np.random.default_rng(seed)
    confidence_Q, hits_Q = rng.random(queries).round(1), rng.integers(0, 2, queries).astype(float)
    coverage, accuracy = metrics.risk_coverage(confidence_Q, hits_Q)
    assert len(coverage) == len(accuracy) == 20
    assert accuracy[-1] == pytest.approx(hits_Q.mean())
    assert ((accuracy >= 0) & (accuracy <= 1)).all()
    order = rng.permutation(queries)
    shuffled = metrics.risk_coverage(confidence_Q[order], hits_Q[order])[1]
    np.testing.assert_allclose(shuffled, accuracy)
