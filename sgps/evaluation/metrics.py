"""Scores of class probabilities against labels.

Throughout, ``probs_QN`` are probabilities of shape (Q, N), each row summing to 1, and ``labels_Q``
are the true classes, integers in 0..N-1. Q is at least 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CALIBRATION_BINS = 15
COVERAGE_POINTS = 20


@dataclass(frozen=True)
class CalibrationBins:
    """Predictions by confidence, in bins of equal width over 0..1; each array has the bins last."""

    counts: Floats
    confidence_sums: Floats
    hits: Floats

    def error(self) -> Floats:
        """Return the expected calibration error, in 0..1, of the bins along the last axis."""
        gaps = np.abs(self.confidence_sums - self.hits).sum(-1)
        return np.asarray(gaps / self.counts.sum(-1), dtype=np.float64)


def accuracy(probs_QN: Floats, labels_Q: Ints) -> float:
    """Return the share of queries whose most probable class is the true one, in 0..1."""
    return float((probs_QN.argmax(1) == labels_Q).mean())


def per_class_recall(probs_QN: Floats, labels_Q: Ints) -> Floats:
    """Return for each class (N,) the share of its queries that are found; NaN without queries."""
    n_way = probs_QN.shape[1]
    hits = probs_QN.argmax(1) == labels_Q
    totals = np.bincount(labels_Q, minlength=n_way)
    found = np.bincount(labels_Q, weights=hits, minlength=n_way)
    recall_N = np.full(n_way, np.nan)
    np.divide(found, totals, out=recall_N, where=totals > 0)
    return recall_N


def balanced_accuracy(probs_QN: Floats, labels_Q: Ints) -> float:
    """Return the mean recall, in 0..1, of the classes that have queries."""
    recall_N = per_class_recall(probs_QN, labels_Q)
    return float(recall_N[~np.isnan(recall_N)].mean())


def auroc(probs_QN: Floats, labels_Q: Ints) -> float:
    """Return the area under the ROC curve, one class against the rest, averaged over the classes.

    In 0..1; ties count half. Classes without queries, or with all of them, are left out; NaN where
    none is left.
    """
    areas = []
    for label in range(probs_QN.shape[1]):
        own_Q = labels_Q == label
        if own_Q.any() and not own_Q.all():
            areas.append(ranking_auroc(probs_QN[own_Q, label], probs_QN[~own_Q, label]))
    return float(np.mean(areas)) if areas else float("nan")


def ranking_auroc(positives: Floats, negatives: Floats) -> float:
    """Return the share, in 0..1, of pairs in which the positive scores higher; ties count half.

    positives (P,) and negatives (R,) are scores; NaN where one of the two is empty. This is the
    area under the ROC curve (Hanley and McNeil, 1982).
    """
    if not len(positives) or not len(negatives):
        return float("nan")
    pairs_PR = positives[:, None], negatives[None, :]
    wins = np.count_nonzero(np.greater(*pairs_PR)) + np.count_nonzero(np.equal(*pairs_PR)) / 2
    return float(wins / (len(positives) * len(negatives)))


def brier(probs_QN: Floats, labels_Q: Ints) -> float:
    """Return the mean squared distance, in 0..2, of the probabilities to the one-hot truth."""
    truth_QN = np.eye(probs_QN.shape[1])[labels_Q]
    return float(((probs_QN - truth_QN) ** 2).sum(1).mean())


def calibration_bins(
    probs_QN: Floats, labels_Q: Ints, *, bins: int = CALIBRATION_BINS
) -> CalibrationBins:
    """Sort the predictions into bins by the probability of the most probable class."""
    confidence_Q = probs_QN.max(1)
    hits_Q = (probs_QN.argmax(1) == labels_Q).astype(np.float64)
    bin_Q = np.clip(np.ceil(confidence_Q * bins).astype(np.int64) - 1, 0, bins - 1)
    counts, confidence_sums, hits = (
        np.bincount(bin_Q, weights=weights, minlength=bins).astype(np.float64)
        for weights in (np.ones_like(hits_Q), confidence_Q, hits_Q)
    )
    return CalibrationBins(counts, confidence_sums, hits)


def expected_calibration_error(
    probs_QN: Floats, labels_Q: Ints, *, bins: int = CALIBRATION_BINS
) -> float:
    """Return the mean gap, in 0..1, between confidence and accuracy over bins of equal width.

    Of few queries the figure is biased upwards: pool the bins of many episodes (`CalibrationBins`).
    """
    return float(calibration_bins(probs_QN, labels_Q, bins=bins).error())


def risk_coverage(
    confidence_Q: Floats, hits_Q: Floats, *, points: int = COVERAGE_POINTS
) -> tuple[Floats, Floats]:
    """Return shares of queries answered, (points,) from 1/points to 1, and the accuracy there.

    The most confident queries are answered first (El-Yaniv and Wiener, 2010). Queries of equal
    confidence count with their mean accuracy, so their order does not matter.
    """
    _, level_Q, counts = np.unique(-confidence_Q, return_inverse=True, return_counts=True)
    level_hits = np.bincount(level_Q, weights=hits_Q) / counts
    answered = np.cumsum(level_hits[np.sort(level_Q)])
    coverage = np.arange(1, points + 1) / points
    counts_answered = np.maximum(np.ceil(coverage * len(hits_Q) - 1e-9).astype(np.int64), 1)
    return coverage, np.asarray(answered[counts_answered - 1] / counts_answered)
