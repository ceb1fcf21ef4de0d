"""Gaussian classifiers: linear discriminant analysis, and Simple CNAPs' class covariances.

Shapes: R rows of support features, Q queries, N classes, B dimensions of the support's span.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sgps.evaluation.baselines.frozen import Classifier, FrozenBaseline
from sgps.evaluation.baselines.space import EPSILON, Span, Support, Taps
from sgps.evaluation.metrics import Floats


@dataclass(frozen=True, kw_only=True)
class LDA(FrozenBaseline):
    """Linear discriminant analysis with a shrunk covariance (Friedman 1989).

    The within-class covariance is shrunk towards a multiple of the identity. That multiple is the
    mean variance of the whole support in its span, not that within classes, which is zero at 1 shot
    and one view.

    Attributes
    ----------
    shrinkage: share of the identity, in (0, 1]; chosen on novel_val.
    """

    label: ClassVar[str] = "lda"
    centring: float | None = 3.0
    temperatures: tuple[float, float] = (10.8, 8.0)
    shrinkage: float = 0.3

    def fit(self, support: Support) -> Classifier:
        """Logits are minus half the squared Mahalanobis distances to the class means."""
        standardisation = self.standardise(support)
        rows_RD = standardisation.rows(support.taps)
        span = Span.of(rows_RD, support.weights_R)
        points_RB = span.coordinates(rows_RD)
        means_NB = support.class_means(points_RB)
        residuals_RB = points_RB - means_NB[support.class_R]
        unit = identity_variance(points_RB, support)
        within_BB = covariance(residuals_RB, support.weights_R)
        shrunk_BB = (1 - self.shrinkage) * within_BB + _identity(within_BB, self.shrinkage * unit)
        whitening_BB = np.linalg.inv(np.linalg.cholesky(shrunk_BB)).T
        white_NB = means_NB @ whitening_BB
        norms_N = (white_NB**2).sum(1)
        outside = self.shrinkage * unit

        def logits(taps: Taps) -> Floats:
            query_QD = standardisation.rows(taps)
            white_QB = span.coordinates(query_QD) @ whitening_BB
            own_Q = (white_QB**2).sum(1) + span.square_distance(query_QD) / outside
            return np.asarray(white_QB @ white_NB.T - (norms_N + own_Q[:, None]) / 2)

        return logits


@dataclass(frozen=True, kw_only=True)
class LDAWithText(LDA):
    """LDA, with the similarity to the class texts added to its logits; weight from novel_val."""

    label: ClassVar[str] = "lda_text"
    temperatures: tuple[float, float] = (10.8, 8.0)
    text_weight: float = 3.0


@dataclass(frozen=True, kw_only=True)
class SimpleCNAPs(FrozenBaseline):
    """The class-covariance Mahalanobis head of Simple CNAPs (Bateni et al. 2020), frozen body.

    ``Q_k = lambda_k S_k + (1 - lambda_k) S + beta I`` with the covariances S_k of a class and S of
    the task, and lambda_k = K / (K + 1) for K shots.

    Attributes
    ----------
    ridge: beta, in units of the mean variance of the support in its span; chosen on novel_val.
    """

    label: ClassVar[str] = "simple_cnaps"
    temperatures: tuple[float, float] = (1.81, 4.42)
    ridge: float = 0.3

    def fit(self, support: Support) -> Classifier:
        """Logits are minus half the squared Mahalanobis distances to the class means."""
        standardisation = self.standardise(support)
        rows_RD = standardisation.rows(support.taps)
        span = Span.of(rows_RD, support.weights_R)
        points_RB = span.coordinates(rows_RD)
        means_NB = support.class_means(points_RB)
        beta = self.ridge * identity_variance(points_RB, support)
        whitenings_NBB = self._whitenings(points_RB, means_NB, support, beta)

        def logits(taps: Taps) -> Floats:
            query_QD = standardisation.rows(taps)
            offsets_NQB = span.coordinates(query_QD) - means_NB[:, None]
            squares_NQ = ((offsets_NQB @ whitenings_NBB) ** 2).sum(2)
            return np.asarray(-(squares_NQ.T + span.square_distance(query_QD)[:, None] / beta) / 2)

        return logits

    def _whitenings(
        self, points_RB: Floats, means_NB: Floats, support: Support, beta: float
    ) -> Floats:
        """``Q_k^(-1/2)`` of each class, (N, B, B)."""
        task_BB = covariance(points_RB, support.weights_R)
        shrunk = []
        for number in range(support.n_way):
            own_KB = points_RB[support.class_R == number] - means_NB[number]
            shots = len(own_KB) / support.views
            share = shots / (shots + 1)
            class_BB = covariance(own_KB, np.full(len(own_KB), 1.0 / max(len(own_KB) - 1, 1)))
            shrunk.append(share * class_BB + (1 - share) * task_BB + _identity(task_BB, beta))
        roots_NBB = np.linalg.cholesky(np.stack(shrunk))
        return np.asarray(np.linalg.inv(roots_NBB).transpose(0, 2, 1), dtype=np.float64)


def covariance(centred_RB: Floats, weights_R: Floats) -> Floats:
    """``sum_r w_r x_r x_r^T`` of centred rows: (B, B)."""
    return np.asarray((centred_RB.T * weights_R) @ centred_RB)


def identity_variance(centred_RB: Floats, support: Support) -> float:
    """Mean variance of the support along the dimensions it could span; positive."""
    total = float((support.weights_R[:, None] * centred_RB**2).sum())
    return max(total / len(support.class_R), EPSILON**2)


def _identity(like_BB: Floats, scale: float) -> Floats:
    return scale * np.eye(len(like_BB))
