"""Classes of meta-training, as a generator keeps them beside itself.

Shapes: C known classes, B of them, D features over all taps.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgps.errors import IntegrityError
from sgps.synthesizer.generator_folder import KNOWN_CLASSES_FILES, KNOWN_CLASSES_STEM
from sgps.synthesizer.sealed import digest_tensors, read_sealed, write_sealed

KNOWN_CLASSES_FORMAT = "sgps-known-classes-1"

NAMES = "names"


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
