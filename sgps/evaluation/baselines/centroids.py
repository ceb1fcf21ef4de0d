"""Nearest class mean: by Euclidean distance, by cosine, by centred cosine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sgps.evaluation.baselines.frozen import Classifier, FrozenBaseline
from sgps.evaluation.baselines.space import Support, Taps, unit_rows
from sgps.evaluation.metrics import Floats


@dataclass(frozen=True, kw_only=True)
class NearestCentroid(FrozenBaseline):
    """Squared Euclidean distance to the class means (Prototypical Networks' classifier).

    Snell et al. 2017, without their training.
    """

    label: ClassVar[str] = "nearest_centroid"
    unit_rows: bool = False
    views: int = 4
    temperatures: tuple[float, float] = (1.0, 0.55)

    def fit(self, support: Support) -> Classifier:
        """Logits are minus the squared distances."""
        standardisation = self.standardise(support)
        means_ND = support.class_means(standardisation.rows(support.taps))
        norms_N = (means_ND**2).sum(1)

        def logits(taps: Taps) -> Floats:
            rows_QD = standardisation.rows(taps)
            own_Q1 = (rows_QD**2).sum(1, keepdims=True)
            return np.asarray(2 * rows_QD @ means_ND.T - norms_N - own_Q1)

        return logits


@dataclass(frozen=True, kw_only=True)
class CosineCentroid(FrozenBaseline):
    """Cosine to the mean of a class's unit rows (SimpleShot's L2N)."""

    label: ClassVar[str] = "cosine_centroid"
    centring: float | None = None
    temperatures: tuple[float, float] = (0.069, 0.0244)

    def fit(self, support: Support) -> Classifier:
        """Logits are the cosines."""
        standardisation = self.standardise(support)
        means_ND = unit_rows(support.class_means(standardisation.rows(support.taps)))

        def logits(taps: Taps) -> Floats:
            return np.asarray(standardisation.rows(taps) @ means_ND.T)

        return logits


@dataclass(frozen=True, kw_only=True)
class CentredCosineCentroid(CosineCentroid):
    """Cosine to class means after centring (SimpleShot's CL2N, Wang et al. 2019).

    The centre is the support's own mean, shrunk: there are no base classes to take one from.
    """

    label: ClassVar[str] = "centred_cosine_centroid"
    centring: float | None = 3.0
    views: int = 4
    temperatures: tuple[float, float] = (0.195, 0.168)
