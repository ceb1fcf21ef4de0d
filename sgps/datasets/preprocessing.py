"""Geometry of images: one size for the networks, one upper size for the store."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sgps.datasets.decoding import Pixels, check_pixels
from sgps.errors import InputError


def resize_and_crop(pixels: Pixels, size: int) -> Pixels:
    """Bring the short side to ``size`` (bicubic, antialiased) and crop the centre.

    pixels: uint8 (H, W, 3). Returns uint8 (size, size, 3).

    Raises
    ------
    ImageError: ``pixels`` has another type or shape. InputError: ``size`` is below 1.
    """
    check_pixels(pixels)
    if size < 1:
        raise InputError(f"size {size}", expected="at least 1 pixel")
    height, width = pixels.shape[:2]
    if height == width == size:
        return pixels.copy()
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    square = Image.fromarray(pixels).resize(
        (size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )
    return np.array(square, dtype=np.uint8)


def shrink_long_side(pixels: Pixels, max_side: int) -> Pixels:
    """Scale ``pixels`` (H, W, 3) down so that no side exceeds ``max_side``; never up.

    The aspect ratio is kept to the pixel, and no side falls below 1.
    """
    check_pixels(pixels)
    height, width = pixels.shape[:2]
    if max(height, width) <= max_side:
        return pixels
    scale = max_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC), dtype=np.uint8)
