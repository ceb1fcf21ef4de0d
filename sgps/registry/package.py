"""Everything that one registered version holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sgps.synthesizer.classifier import SynthesizedClassifier


@dataclass(frozen=True, eq=False)
class SupportImage:
    """One support image as decoded.

    ``pixels`` is uint8 of shape (H, W, 3); ``artifact`` is its path among the run's artifacts;
    ``name`` is what the request called it; ``png`` are its pixels as a PNG file, where there is
    one already.
    """

    label: str
    name: str
    pixels: NDArray[np.uint8]
    artifact: str
    pixel_sha256: str
    file_sha256: str
    png: bytes | None = None


@dataclass(frozen=True, eq=False)
class ModelPackage:
    """A synthesized classifier with what it was made from and the record of the act.

    Attributes
    ----------
    texts: per class name its description, "" where there is none; in the order of the classes.
    request: the request as asked, JSON-able.
    audit: the audit record, JSON-able (see ``sgps.service.provenance``).
    generator_documents: what the generator's release says of itself, by file name.
    """

    request_id: str
    task: str
    requester: str
    purpose: str
    classifier: SynthesizedClassifier
    support: tuple[SupportImage, ...]
    texts: Mapping[str, str]
    request: Mapping[str, Any]
    audit: Mapping[str, Any]
    generator_documents: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def generator_name(self) -> str:
        """Name of the generator that made the weights."""
        return str(self.audit["generator"]["name"])

    @property
    def generator_sha256(self) -> str:
        """Digest of the generator's tensors."""
        return str(self.audit["generator"]["sha256"])

    def support_of(self, label: str) -> tuple[SupportImage, ...]:
        """The support images of one class, in the order of the request."""
        return tuple(image for image in self.support if image.label == label)
