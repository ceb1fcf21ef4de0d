"""What the hygiene checks say of images, in a form that the page can show."""

from __future__ import annotations

from collections.abc import Sequence

from sgps.datasets.decoding import DecodedImage, Pixels
from sgps.datasets.hygiene import compare_images, inspect_image


def findings_of(image: DecodedImage) -> tuple[dict[str, str], ...]:
    """Code, severity and message of each thing worth saying about ``image``."""
    return tuple(found.to_dict() for found in inspect_image(image))


def repeats_of(images: Sequence[Pixels]) -> list[tuple[int, int]]:
    """Pairs of numbers of images, each uint8 (H, W, 3), that show the same picture."""
    return [(pair.first, pair.second) for pair in compare_images(images)]
