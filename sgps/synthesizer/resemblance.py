"""How much an image resembles the classes of a task, and classes of meta-training beside them.

A generator has met some hundred classes. An image that resembles one of them more than any class of
the task is likely foreign to it. What a new class is like is read from all features; which known
class it is, where known classes differ (`sgps.synthesizer.known_background`).

Shapes: C known classes, S support images, Q queries, N classes of a task, D features that the
head's linear layer sees, K directions of the discriminant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sgps.synthesizer.head import LinearHead
from sgps.synthesizer.head_parameters import Whitening
from sgps.synthesizer.known_background import KnownBackground
from sgps.synthesizer.support_labels import SupportLabels

KNOWN_WEIGHT = 0.75
"""Of the resemblance to a known class in the margin. Chosen on novel_val, where absent classes are
unknown, and meta_val of ham10000, where they are known: 0.5 to 1 differ little."""

TOLD_CLASSES = 24
"""How many known classes are named that a support resembles most."""

FOREIGN_SHARE = 0.1
"""Of left-out support images that lie below the margin of a foreign image. On novel_val 6 % of a
task's own images do at 2 shots and 7 % at 5, of absent classes 13 % and 20 %."""

OWN, KNOWN, PROJECTION = "own", "known", "projection"
_EVERY_DIRECTION = "weight"


@dataclass(frozen=True, eq=False)
class Resemblance:
    """How much images resemble the classes of a task, and known classes beside them.

    Attributes
    ----------
    own_ND: float16, a direction of the head's rows for each class of the task, in their order.
    known_CK: float16, unit coordinates of the known classes along the discriminant.
    names: of the C known classes.
    projection_DK: float16, from rows to the discriminant. None in classifiers made before there was
        one: `known_CK` are then directions like those of the task, and count whole.
    """

    own_ND: Tensor
    known_CK: Tensor
    names: tuple[str, ...]
    projection_DK: Tensor | None

    @property
    def ways(self) -> int:
        """N."""
        return len(self.own_ND)

    def margins(self, rows_QD: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``margin_Q`` and ``index_Q``, the number of the nearest known class.

        The margin is the resemblance to the nearest class of the task less three quarters of that
        to the nearest known class, within [-2, 2] for unit rows; the less, the more foreign.
        """
        own_Q = (rows_QD @ self.own_ND.to(rows_QD).T).amax(dim=1)
        foreign_Q, index_Q = self.to_known(rows_QD)
        return own_Q - foreign_Q, index_Q

    def to_known(self, rows_QD: Tensor) -> tuple[Tensor, Tensor]:
        """How much rows resemble the nearest known class, as it counts, and its number (Q,)."""
        likeness_Q, index_Q = self.likeness(rows_QD).max(dim=1)
        return likeness_Q, index_Q

    def likeness(self, rows_QD: Tensor) -> Tensor:
        """How much rows resemble each known class (Q, C), as it counts."""
        known_CK = self.known_CK.to(rows_QD)
        if self.projection_DK is None:
            return rows_QD @ known_CK.T
        along_QK = normalize(rows_QD @ self.projection_DK.to(rows_QD), dim=1)
        return KNOWN_WEIGHT * (along_QK @ known_CK.T)

    def reordered(self, order_N: Tensor) -> Resemblance:
        """That of the classifier whose output i is this one's output ``order_N[i]``."""
        return replace(self, own_ND=self.own_ND[order_N])

    def to(self, device: torch.device) -> Resemblance:
        """The same on another device, cut off from any gradient."""
        projection_DK = self.projection_DK
        return replace(
            self,
            own_ND=self.own_ND.detach().to(device),
            known_CK=self.known_CK.detach().to(device),
            projection_DK=None if projection_DK is None else projection_DK.detach().to(device),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        if self.projection_DK is None:
            return {_EVERY_DIRECTION: torch.cat([self.own_ND, self.known_CK])}
        return {OWN: self.own_ND, KNOWN: self.known_CK, PROJECTION: self.projection_DK}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], names: Sequence[Any]) -> Resemblance:
        """The inverse of :meth:`tensors` and ``names``."""
        told = tuple(map(str, names))
        if _EVERY_DIRECTION in tensors:
            weight_MD = tensors[_EVERY_DIRECTION]
            ways = len(weight_MD) - len(told)
            return cls(weight_MD[:ways], weight_MD[ways:], told, None)
        return cls(tensors[OWN], tensors[KNOWN], told, tensors[PROJECTION])


def resemblance_of(
    background: KnownBackground,
    support_taps: tuple[Tensor, ...],
    labels: SupportLabels,
    head: LinearHead,
    whitening: Whitening | None,
) -> Resemblance:
    """Directions of a task's classes, and the known classes as the task sees them.

    A class's direction is the mean of its rows, whitened and of unit length, and whitened once
    more: its product with a row is that of the whitened two.
    """
    whiten = whitening or _unchanged
    own_ND = _class_directions(whiten(head.features(support_taps)), labels)
    return resemblance_beside(whiten(own_ND).half(), background, head)


def resemblance_beside(
    own_ND: Tensor, background: KnownBackground, head: LinearHead
) -> Resemblance:
    """Resemblance to a task's classes of these directions, float16, and to all known classes."""
    known_CK, projection_DK = background.coordinates(head), background.projection_DK.clone()
    return Resemblance(own_ND, known_CK, background.names, projection_DK)


def nearest_known(
    resemblance: Resemblance,
    support_taps: tuple[Tensor, ...],
    labels: SupportLabels,
    head: LinearHead,
) -> tuple[str, ...]:
    """Names of the known classes that the classes of a support resemble most, nearest first."""
    rows_SD = head.features(support_taps)
    means_ND = labels.one_hot_SN.to(rows_SD).T @ rows_SD
    likeness_C = resemblance.likeness(means_ND).amax(dim=0)
    numbers = likeness_C.argsort(descending=True, stable=True)[:TOLD_CLASSES].tolist()
    return tuple(resemblance.names[number] for number in numbers)


def foreign_margin(
    resemblance: Resemblance,
    support_taps: tuple[Tensor, ...],
    labels: SupportLabels,
    head: LinearHead,
    whitening: Whitening | None,
) -> float | None:
    """The margin below which an image is foreign, from the support alone.

    One in ten of its images falls short of it where its class is described without it. None where
    no class has two images.
    """
    whiten = whitening or _unchanged
    rows_SD = head.features(support_taps)
    white_SD = whiten(rows_SD)
    one_hot_SN = labels.one_hot_SN.to(white_SD)
    left_in_SD = normalize((one_hot_SN.T @ white_SD)[labels.class_S] - white_SD, dim=1)
    own_SN = white_SD @ _class_directions(white_SD, labels).T
    own_S1 = (white_SD * left_in_SD).sum(dim=1, keepdim=True)
    own_SN = own_SN.scatter(1, labels.class_S.unsqueeze(1), own_S1)
    counted_S = (labels.shots_N > 1)[labels.class_S]
    if not bool(counted_S.any()):
        return None
    margin_S = own_SN.amax(dim=1) - resemblance.to_known(rows_SD)[0]
    return float(margin_S[counted_S].quantile(FOREIGN_SHARE))


def _class_directions(rows_SD: Tensor, labels: SupportLabels) -> Tensor:
    one_hot_SN = labels.one_hot_SN.to(rows_SD)
    return normalize(one_hot_SN.T @ rows_SD, dim=1)


def _unchanged(rows: Tensor) -> Tensor:
    return rows
