"""The support images of a classifier: small copies to show, and which one a picture resembles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from sgps.datasets.decoding import DecodedImage, Pixels, encode_png, read_image
from sgps.datasets.preprocessing import shrink_long_side
from sgps.errors import UnknownNameError, UserError
from sgps.registry.contents import open_contents
from sgps.service.support import OWN_COPIES
from sgps.service.workspace import Workspace
from sgps.synthesizer.abstention import nearest_support
from sgps.synthesizer.classifier import SynthesizedClassifier

_SMALL_SIDE = 160
_RECORD = "audit.json"


@dataclass(frozen=True, eq=False)
class Gallery:
    """The S support images of one classifier, in the order of its record.

    labels: class of each. small: PNG bytes of a small copy of each. rows_SD: what the head sees of
    each.
    """

    labels: tuple[str, ...]
    small: tuple[bytes, ...]
    rows_SD: Tensor

    def nearest(self, classifier: SynthesizedClassifier, pixels: Pixels) -> dict[str, Any]:
        """Number, class and cosine of the support image that ``pixels`` (H, W, 3) resembles."""
        index_Q, similarity_Q = nearest_support(classifier.rows([pixels]), self.rows_SD)
        number = int(index_Q[0])
        return {
            "number": number,
            "class_name": self.labels[number],
            "similarity": round(float(similarity_Q[0]), 4),
        }

    def png(self, number: int) -> bytes:
        """Small copy of one image, counted from 0. Raises UnknownNameError."""
        if not 0 <= number < len(self.small):
            raise UnknownNameError("there is no such support image", remedy="correct the address")
        return self.small[number]


def open_gallery(
    run_id: str, classifier: SynthesizedClassifier, workspace: Workspace
) -> Gallery | None:
    """The gallery of a registered classifier; None where the store has no readable images.

    Raises
    ------
    StoreError: the store cannot be read.
    """
    labels: list[str] = []
    small: list[bytes] = []
    rows: list[Tensor] = []
    with open_contents(workspace.registry, run_id) as folder:
        if folder is None:
            return None
        try:
            for label, image in _support(folder):
                labels.append(label)
                small.append(encode_png(shrink_long_side(image.pixels, _SMALL_SIDE)))
                rows.append(classifier.rows([image.pixels]))
        except (OSError, ValueError, KeyError, TypeError, UserError):
            return None
    return Gallery(tuple(labels), tuple(small), torch.cat(rows)) if rows else None


def _support(folder: Path) -> Iterator[tuple[str, DecodedImage]]:
    record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    for item in record["inputs"]["classes"]:
        for image in item["images"]:
            path = PurePosixPath(image["artifact"])
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(image["artifact"])
            yield item["name"], read_image(folder / path, limits=OWN_COPIES)
