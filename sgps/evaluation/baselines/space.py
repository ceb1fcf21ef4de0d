"""The rows that closed-form classifiers are fitted to, and the span of a support set.

Shapes: S support images, R = S x views rows of support features, Q query images, N classes,
D features over the taps read, B dimensions of the span of the support (at most R - 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from sgps.evaluation.metrics import Floats, Ints

Taps = tuple[Floats, ...]
"""Features of each tap, (rows, D_t); the last tap holds the last features."""

TapChoice = Literal["last", "all"]

EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Support:
    """Features and classes of a support set, each view of an image a row of its own.

    Attributes
    ----------
    taps: (R, D_t) each.
    class_R: class number of each row, in [0, N).
    n_way: N.
    views: how many rows an image has.
    """

    taps: Taps
    class_R: Ints
    n_way: int
    views: int = 1

    @property
    def images(self) -> int:
        """S."""
        return len(self.class_R) // self.views

    @cached_property
    def one_hot_RN(self) -> Floats:
        """One-hot classes (R, N)."""
        return np.asarray(np.eye(self.n_way)[self.class_R])

    @cached_property
    def weights_R(self) -> Floats:
        """Class-balanced weights: each class weighs 1 / N, all rows together 1."""
        return np.asarray(1.0 / (self.n_way * self.one_hot_RN.sum(0)))[self.class_R]

    def class_means(self, rows_RD: Floats) -> Floats:
        """Mean (N, D) over the rows of each class."""
        return np.asarray((self.one_hot_RN * (self.weights_R * self.n_way)[:, None]).T @ rows_RD)


@dataclass(frozen=True)
class Standardisation:
    """From taps to rows: ``scale_D * (taps_D - centre_D)``, divided by its norm if `unit_rows`.

    Attributes
    ----------
    first_tap: the taps before it are not read.
    centre_D, scale_D: of the features of the taps read.
    unit_rows: whether rows have norm 1.
    """

    first_tap: int
    centre_D: Floats
    scale_D: Floats
    unit_rows: bool

    @classmethod
    def of(
        cls, support: Support, taps: TapChoice, *, centring: float | None, unit_rows: bool
    ) -> Standardisation:
        """Return the map that gives each tap read the class-balanced mean square norm 1.

        taps: "last" reads the last features alone, "all" every tap side by side.
        centring: how many images' worth of zeros the support's mean is shrunk by before it is taken
            off; 0 takes it off whole, None leaves it.
        """
        share = 0.0 if centring is None else support.images / (support.images + centring)
        first = 0 if taps == "all" else len(support.taps) - 1
        weights_R1 = support.weights_R[:, None]
        centres: list[Floats] = []
        scales: list[Floats] = []
        for features_RD in support.taps[first:]:
            centre_D = share * (weights_R1 * features_RD).sum(0)
            spread = float((weights_R1 * (features_RD - centre_D) ** 2).sum())
            centres.append(centre_D)
            scales.append(np.full_like(centre_D, 1.0 / np.sqrt(spread + EPSILON)))
        return cls(first, np.concatenate(centres), np.concatenate(scales), unit_rows)

    def rows(self, taps: Taps) -> Floats:
        """Rows (Q, D) of taps (Q, D_t)."""
        rows_QD = (np.concatenate(taps[self.first_tap :], axis=1) - self.centre_D) * self.scale_D
        return unit_rows(rows_QD) if self.unit_rows else np.asarray(rows_QD)


@dataclass(frozen=True)
class Span:
    """The affine span of support rows, with an orthonormal basis.

    A classifier that is fitted by distances and inner products alone is the same in the B
    coordinates of the span as in all D features, and far cheaper.

    Attributes
    ----------
    origin_D: class-balanced mean of the rows.
    basis_DB: orthonormal columns.
    """

    origin_D: Floats
    basis_DB: Floats

    @classmethod
    def of(cls, rows_RD: Floats, weights_R: Floats) -> Span:
        """Return the span of rows, by the eigenvectors of their Gram matrix."""
        origin_D = weights_R @ rows_RD
        centred_RD = rows_RD - origin_D
        squares_R, vectors_RR = np.linalg.eigh(centred_RD @ centred_RD.T)
        kept_R = squares_R > 1e-10 * max(float(squares_R[-1]), EPSILON)
        return cls(origin_D, centred_RD.T @ vectors_RR[:, kept_R] / np.sqrt(squares_R[kept_R]))

    def coordinates(self, rows_QD: Floats) -> Floats:
        """Coordinates (Q, B) of the rows' projections."""
        return np.asarray((rows_QD - self.origin_D) @ self.basis_DB)

    def square_distance(self, rows_QD: Floats) -> Floats:
        """Squared distance (Q,) of rows to the span."""
        centred_QD = rows_QD - self.origin_D
        inside_Q = ((centred_QD @ self.basis_DB) ** 2).sum(1)
        return np.asarray(np.maximum((centred_QD**2).sum(1) - inside_Q, 0.0))


def unit_rows(rows_QD: Floats) -> Floats:
    """Rows divided by their norm; a row of zeros stays one."""
    norms_Q1 = np.linalg.norm(rows_QD, axis=1, keepdims=True)
    return np.asarray(rows_QD / np.maximum(norms_Q1, EPSILON))
