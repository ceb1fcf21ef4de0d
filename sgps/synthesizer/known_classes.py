"""Classes of meta-training as a background: what an image may show that is not in the task.

A generator has met some hundred classes. A classifier keeps the few that its support resembles
most; an image that resembles one of them more than any class of the task is likely foreign to it.

Shapes: C known classes, B of them kept, S support images, Q queries, N classes of a task, D
features that the head's linear layer sees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sgps.errors import IntegrityError
from sgps.synthesizer.head import LinearHead
from sgps.synthesizer.head_parameters import Whitening
from sgps.synthesizer.sealed import digest_tensors, read_sealed, write_sealed
from sgps.synthesizer.support_labels import SupportLabels

KNOWN_CLASSES_FORMAT = "sgps-known-classes-1"
KNOWN_CLASSES_STEM = "known_classes"
KNOWN_CLASSES_FILES = (f"{KNOWN_CLASSES_STEM}.safetensors", f"{KNOWN_CLASSES_STEM}.json")

KEPT_CLASSES = 24
"""B at most. On novel_val 16 to 64 are as good as all."""

MOST_DIRECTIONS = 30
"""N + B at most: large tasks keep fewer, so that the compact form of 11 classes with 5 images each
stays below 500 kB."""

FOREIGN_SHARE = 0.1
"""Of left-out support images that lie below the margin of a foreign image. On novel_val 5 % of a
task's own images do at 2 shots and 6 % at 5, of absent classes 10 % and 18 %."""

WEIGHT, NAMES = "weight", "names"


@dataclass(frozen=True, eq=False)
class KnownClasses:
    """The mean features of each class of meta-training under the shared body.

    Attributes
    ----------
    names: dataset and class, such as ``ham10000: nv``, C of them.
    means_CD: mean over images of the taps side by side.
    generator_sha256: digest of the generator's tensors that the means belong to.
    """

    names: tuple[str, ...]
    means_CD: Tensor
    generator_sha256: str

    def save(self, folder: Path) -> str:
        """Write ``known_classes.safetensors`` and ``.json``, half precision; return the digest.

        Raises
        ------
        StoreError: the folder cannot be written.
        """
        description = {NAMES: list(self.names), "generator_sha256": self.generator_sha256}
        tensors = {"means": self.means_CD.half()}
        return write_sealed(
            folder, KNOWN_CLASSES_STEM, tensors, description, file_format=KNOWN_CLASSES_FORMAT
        )

    @classmethod
    def load(cls, folder: Path, generator_sha256: str) -> KnownClasses | None:
        """Read the known classes beside a generator; None where it has none.

        Raises
        ------
        UnknownNameError: one of the two is missing.
        IntegrityError: a file is foreign, corrupted or altered, or belongs to another generator.
        """
        if not any((folder / name).exists() for name in KNOWN_CLASSES_FILES):
            return None
        content = read_sealed(folder, KNOWN_CLASSES_STEM, file_format=KNOWN_CLASSES_FORMAT)
        made_for = str(content.description.get("generator_sha256"))
        if made_for != generator_sha256:
            raise IntegrityError(
                f"the known classes in {folder} belong to generator {made_for[:12]}",
                expected=f"those of generator {generator_sha256[:12]}",
                remedy="restore the folder from its source, or write them with"
                " `sgps known-classes`",
            )
        checked = _checked(content.description.get(NAMES), content.tensors.get("means"))
        if checked is None:
            raise IntegrityError(
                f"the known classes in {folder} are none",
                expected="a printable name and the finite mean features of each class",
                remedy="restore the folder from its source, or write them with"
                " `sgps known-classes`",
            )
        return cls(*checked, made_for)

    def require_width(self, width: int) -> None:
        """See that the means are as wide as the taps side by side.

        Raises
        ------
        IntegrityError: they are not.
        """
        if self.means_CD.shape[1] != width:
            raise IntegrityError(
                f"known classes of {self.means_CD.shape[1]} features",
                expected=f"{width} features, as the generator's target network has",
                remedy="write them with `sgps known-classes`",
            )

    @cached_property
    def sha256(self) -> str:
        """Digest of names and means."""
        named = hashlib.sha256("\n".join(self.names).encode()).hexdigest()
        return digest_tensors({named: self.means_CD})

    def to(self, device: torch.device) -> KnownClasses:
        """The same on another device."""
        return replace(self, means_CD=self.means_CD.to(device))


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
    its product with a row is that of the whitened two. At most 24 known classes are kept, and at
    most 30 directions in all.
    """
    whiten = whitening or _unchanged
    own_ND = _class_directions(whiten(head.features(support_taps)), labels)
    widths = [tap.shape[1] for tap in support_taps]
    known_taps = torch.split(known.means_CD.to(own_ND), widths, dim=1)
    known_CD = head.features(known_taps)
    nearest_C = (
        _cosines(known_CD, own_ND, whitening).amax(dim=1).argsort(descending=True, stable=True)
    )
    kept_B = nearest_C[: min(KEPT_CLASSES, max(1, MOST_DIRECTIONS - labels.ways))]
    kept_BD = normalize(whiten(known_CD[kept_B]), dim=1)
    weight_MD = whiten(torch.cat([own_ND, kept_BD]))
    return Resemblance(weight_MD.half(), tuple(known.names[number] for number in kept_B.tolist()))


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


def _checked(names: Any, means_CD: Any) -> tuple[tuple[str, ...], Tensor] | None:
    sound = (
        isinstance(names, list)
        and isinstance(means_CD, Tensor)
        and means_CD.ndim == 2
        and 0 < len(names) == len(means_CD)
        and all(isinstance(name, str) and name.isprintable() for name in names)
        and bool(means_CD.isfinite().all())
    )
    return (tuple(names), means_CD.float()) if sound else None


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
