"""How much an image resembles the classes of a task, and classes of meta-training beside them.

A generator has met some hundred classes. A classifier keeps the few that its support resembles
most; an image that resembles one of them more than any class of the task is likely foreign to it.

Shapes: C known classes, B of them kept, S support images, Q queries, N classes of a task, D
features that the head's linear layer sees.
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
from sgps.synthesizer.known_classes import KnownClasses
from sgps.synthesizer.support_labels import SupportLabels

KEPT_CLASSES = 24
"""B at most. On novel_val 16 to 64 are as good as all."""

FOREIGN_SHARE = 0.1
"""Of left-out support images that lie below the margin of a foreign image. On novel_val 5 % of a
task's own images do at 2 shots and 6 % at 5, of absent classes 10 % and 18 %."""

WEIGHT = "weight"


@dataclass(frozen=True, eq=False)
class Resemblance:
    """How much images resemble the classes of a task, and known classes beside them.

    Attributes
    ----------
    weight_MD: float16, a direction of the head's rows for each of the N classes of the task, in
        their order, and then for each of the B known classes.
    names: of the B known classes.
    """

    weight_MD: Tensor
    names: tuple[str, ...]

    @property
    def ways(self) -> int:
        """N."""
        return len(self.weight_MD) - len(self.names)

    def margins(self, rows_QD: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``margin_Q`` and ``index_Q``, the number of the nearest known class.

        The margin is the resemblance to the nearest class of the task less that to the nearest
        known class, within [-2, 2] for unit rows; below 0 the image resembles the known class more.
        """
        resemblance_QM = rows_QD @ self.weight_MD.to(rows_QD).T
        own_Q = resemblance_QM[:, : self.ways].amax(dim=1)
        foreign_Q, index_Q = resemblance_QM[:, self.ways :].max(dim=1)
        return own_Q - foreign_Q, index_Q

    def reordered(self, order_N: Tensor) -> Resemblance:
        """That of the classifier whose output i is this one's output ``order_N[i]``."""
        own_ND = self.weight_MD[: self.ways][order_N]
        return replace(self, weight_MD=torch.cat([own_ND, self.weight_MD[self.ways :]]))

    def to(self, device: torch.device) -> Resemblance:
        """The same on another device, cut off from any gradient."""
        return replace(self, weight_MD=self.weight_MD.detach().to(device))

    def tensors(self) -> dict[str, Tensor]:
        """Its tensor by name."""
        return {WEIGHT: self.weight_MD}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], names: list[Any]) -> Resemblance:
        """The inverse of :meth:`tensors` and ``names``."""
        return cls(tensors[WEIGHT], tuple(map(str, names)))


def resemblance_of(
    known: KnownClasses,
    support_taps: tuple[Tensor, ...],
    labels: SupportLabels,
    head: LinearHead,
    whitening: Whitening | None,
) -> Resemblance:
    """Directions of a task's classes and of the known classes that its support resembles most.

    A direction is the mean of a class's rows, whitened and of unit length, and whitened once more:
    its product with a row is that of the whitened two. At most 24 known classes are kept.
    """
    whiten = whitening or _unchanged
    own_ND = _class_directions(whiten(head.features(support_taps)), labels)
    known_CD = head.features((known.means_CD.to(own_ND),))
    nearest_C = (
        _cosines(known_CD, own_ND, whitening).amax(dim=1).argsort(descending=True, stable=True)
    )
    names = tuple(known.names[number] for number in nearest_C[:KEPT_CLASSES].tolist())
    return resemblance_beside(whiten(own_ND).half(), known, names, head, whitening)


def resemblance_beside(
    own_ND: Tensor,
    known: KnownClasses,
    names: Sequence[str],
    head: LinearHead,
    whitening: Whitening | None,
) -> Resemblance:
    """Resemblance to a task's classes of these directions, float16, and the known ones of a name.

    Raises
    ------
    UnknownNameError: a class is not known.
    """
    whiten = whitening or _unchanged
    rows_BD = head.features((known.means_of(names).to(head.scale_D),))
    known_BD = whiten(normalize(whiten(rows_BD), dim=1))
    return Resemblance(torch.cat([own_ND, known_BD.half()]), tuple(names))


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
    foreign_SB = rows_SD @ resemblance.weight_MD[resemblance.ways :].to(rows_SD).T
    counted_S = (labels.shots_N > 1)[labels.class_S]
    if not bool(counted_S.any()):
        return None
    margin_S = own_SN.amax(dim=1) - foreign_SB.amax(dim=1)
    return float(margin_S[counted_S].quantile(FOREIGN_SHARE))


def _cosines(rows_CD: Tensor, own_ND: Tensor, whitening: Whitening | None) -> Tensor:
    """Cosines (C, N) of rows, once whitened, with unit directions; no row is whitened for it."""
    if whitening is None:
        return normalize(rows_CD, dim=1) @ own_ND.T
    along_CR = rows_CD @ whitening.basis_RD.T
    shares_R = whitening.shares_R
    taken_C = (shares_R * (2 - shares_R) * along_CR.square()).sum(dim=1)
    norm_C1 = (rows_CD.square().sum(dim=1) - taken_C).clamp_min(1e-12).sqrt().unsqueeze(1)
    products_CN = rows_CD @ own_ND.T - (along_CR * shares_R) @ (own_ND @ whitening.basis_RD.T).T
    return products_CN / norm_C1


def _class_directions(rows_SD: Tensor, labels: SupportLabels) -> Tensor:
    one_hot_SN = labels.one_hot_SN.to(rows_SD)
    return normalize(one_hot_SN.T @ rows_SD, dim=1)


def _unchanged(rows: Tensor) -> Tensor:
    return rows
