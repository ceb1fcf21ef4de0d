"""The same picture given more than once, in whatever bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from sgps.datasets._checks import ValidationRules
from sgps.datasets._image_measures import grey_thumbnail
from sgps.datasets._near_duplicates import (
    detail_signature,
    find_near_duplicates,
    hashes_as_integers,
)
from sgps.datasets.decoding import perceptual_hash


def find_repeats(images: Sequence[npt.NDArray[np.uint8]]) -> list[tuple[int, int]]:
    """Pairs of numbers, first < second, of images that are near-duplicates of each other.

    images: uint8, (H, W, 3) each, of any size. Near-duplicates are what validation takes for them
    with its default rules: a re-encoded, resized or re-lit copy, not another view.
    """
    if len(images) < 2:
        return []
    rules = ValidationRules()
    numbers = np.arange(len(images), dtype=np.int64)
    pairs = find_near_duplicates(
        hashes_as_integers([perceptual_hash(pixels) for pixels in images]),
        np.stack([_signature(pixels) for pixels in images]),
        numbers,
        numbers,
        max_distance=rules.max_hash_distance,
        min_similarity=rules.min_detail_similarity,
    )
    return [(pair.first, pair.second) for pair in pairs]


def _signature(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return detail_signature(grey_thumbnail(Image.fromarray(pixels).convert("L")))
