"""Linear classifiers: logistic regression, and ridge regression on the last features or all taps.

Shapes: R rows of support features, Q queries, N classes, D features, B dimensions of the span.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sgps.evaluation.baselines.frozen import Classifier, FrozenBaseline
from sgps.evaluation.baselines.space import Span, Support, TapChoice, Taps
from sgps.evaluation.metrics import Floats


@dataclass(frozen=True, kw_only=True)
class LogisticRegression(FrozenBaseline):
    """Multinomial logistic regression with an L2 penalty, by scikit-learn.

    Fitted in the span of the support, where its solution lies: the same classifier as in all
    features.

    Attributes
    ----------
    inverse_penalty: scikit-learn's C, with rows weighed so that classes are balanced; chosen on
        novel_val.
    """

    label: ClassVar[str] = "logistic_regression"
    temperatures: tuple[float, float] = (0.64, 0.743)
    inverse_penalty: float = 10.0

    def fit(self, support: Support) -> Classifier:
        """Logits are the linear scores of the classes."""
        standardisation = self.standardise(support)
        rows_RD = standardisation.rows(support.taps)
        span = Span.of(rows_RD, support.weights_R)
        weight_NB, bias_N = self._solve(span.coordinates(rows_RD), support)

        def logits(taps: Taps) -> Floats:
            return np.asarray(span.coordinates(standardisation.rows(taps)) @ weight_NB.T + bias_N)

        return logits

    def _solve(self, points_RB: Floats, support: Support) -> tuple[Floats, Floats]:
        from sklearn import linear_model  # noqa: PLC0415 slow to import

        if points_RB.shape[1] == 0:
            return np.zeros((support.n_way, 0)), np.zeros(support.n_way)
        solver = linear_model.LogisticRegression(
            C=self.inverse_penalty, tol=1e-6, max_iter=1000
        ).fit(points_RB, support.class_R, support.weights_R * len(points_RB))
        weight_NB, bias_N = solver.coef_, solver.intercept_
        if support.n_way == 2:  # one score for two classes
            weight_NB = np.concatenate([-weight_NB, weight_NB]) / 2
            bias_N = np.concatenate([-bias_N, bias_N]) / 2
        return weight_NB, bias_N


@dataclass(frozen=True, kw_only=True)
class RidgeTaps(FrozenBaseline):
    """Ridge regression onto the classes, in its dual form (Bertinetto et al. 2019, R2-D2).

    Over all taps, with equal weights: the generator's head without anything learned.

    Attributes
    ----------
    strength: ridge strength relative to rows of unit norm; chosen on novel_val.
    """

    label: ClassVar[str] = "ridge_taps"
    views: int = 4
    temperatures: tuple[float, float] = (0.145, 0.168)
    strength: float = 1.0

    def fit(self, support: Support) -> Classifier:
        """Logits are the regression's scores; one-hot targets are centred at 0."""
        standardisation = self.standardise(support)
        rows_RD = standardisation.rows(support.taps)
        penalty_R = self.strength / (support.weights_R * len(rows_RD))
        targets_RN = support.one_hot_RN - 1.0 / support.n_way
        dual_RN = np.linalg.solve(rows_RD @ rows_RD.T + np.diag(penalty_R), targets_RN)
        weight_DN = rows_RD.T @ dual_RN

        def logits(taps: Taps) -> Floats:
            return np.asarray(standardisation.rows(taps) @ weight_DN)

        return logits


@dataclass(frozen=True, kw_only=True)
class RidgeTapsWithText(RidgeTaps):
    """RidgeTaps, with the similarity to the class texts added to its logits.

    The weight of the texts was chosen on novel_val.
    """

    label: ClassVar[str] = "ridge_taps_text"
    temperatures: tuple[float, float] = (0.168, 0.168)
    text_weight: float = 3.0


@dataclass(frozen=True, kw_only=True)
class RidgeLast(RidgeTaps):
    """Ridge regression on the last features alone."""

    label: ClassVar[str] = "ridge_last"
    taps: TapChoice = "last"
    temperatures: tuple[float, float] = (0.168, 0.195)
