"""Altered copies of query images, to see how much accuracy is lost.

The kinds and strengths are those of severity 3 of ImageNet-C (Hendrycks and Dietterich, 2019), the
blur in proportion to the side of the image. What is random depends on the image's pixels alone.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.special import ndtri

from sgps.evaluation.methods import Images
from sgps.evaluation.metrics import Ints

BLUR_SHARE = 3 / 224
"""Standard deviation of the blur as a share of the image's side."""
NOISE_DEVIATION = 0.18 * 255
JPEG_QUALITY = 15
BRIGHTER_BY = 0.3 * 255

CLEAN = "clean"
"""What queries are called that are not altered, beside the names of the corruptions."""

Corruption = Callable[[Images], Images]
"""From one image uint8 (3, H, W) to its altered copy of the same shape."""


def blur(image_3HW: Images) -> Images:
    """Return a copy blurred by a Gaussian."""
    deviation = BLUR_SHARE * max(image_3HW.shape[1:])
    blurred = gaussian_filter(image_3HW.astype(np.float32), (0, deviation, deviation))
    return _to_bytes(blurred)


def add_noise(image_3HW: Images) -> Images:
    """Return a copy with independent Gaussian noise in every value."""
    seed = int.from_bytes(hashlib.sha256(image_3HW.tobytes()).digest())
    bits = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(image_3HW.size)
    fractions = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53
    noise = ndtri(fractions).reshape(image_3HW.shape)
    return _to_bytes(image_3HW + NOISE_DEVIATION * noise)


def compress(image_3HW: Images) -> Images:
    """Return a copy that went through a JPEG file of low quality."""
    file = io.BytesIO()
    pixels_HW3 = np.ascontiguousarray(image_3HW.transpose(1, 2, 0))
    Image.fromarray(pixels_HW3).save(file, format="JPEG", quality=JPEG_QUALITY)
    with Image.open(file) as compressed:
        return np.asarray(compressed).transpose(2, 0, 1)


def brighten(image_3HW: Images) -> Images:
    """Return a copy of higher value (V of HSV), of the same hue and saturation."""
    pixels = image_3HW.astype(np.float32)
    value_HW = pixels.max(0)
    brighter_HW = np.minimum(value_HW + BRIGHTER_BY, 255)
    scale_HW = np.divide(brighter_HW, value_HW, out=np.zeros_like(value_HW), where=value_HW > 0)
    return _to_bytes(np.where(value_HW > 0, pixels * scale_HW, brighter_HW))


CORRUPTIONS: dict[str, Corruption] = {
    "blur": blur,
    "noise": add_noise,
    "jpeg": compress,
    "brightness": brighten,
}


class CorruptedCopies:
    """The images of a pool beside their altered copies, made when they are first asked for.

    Parameters
    ----------
    pool: uint8 (M, 3, H, W).
    """

    def __init__(self, pool: Images) -> None:
        self._pool = pool
        self.images = np.zeros(((1 + len(CORRUPTIONS)) * len(pool), *pool.shape[1:]), np.uint8)
        """uint8 ((1 + corruptions) * M, 3, H, W): the pool, then its copies kind by kind."""
        self._kept_M = np.zeros(len(pool), dtype=bool)
        self._altered_M = np.zeros(len(pool), dtype=bool)

    def keep(self, rows: Ints) -> Ints:
        """Return the rows (Q,) of ``images`` that show pool rows (Q,) as they are."""
        missing = rows[~self._kept_M[rows]]
        self.images[missing] = self._pool[missing]
        self._kept_M[missing] = True
        return rows

    def alter(self, rows: Ints) -> dict[str, Ints]:
        """Return for each corruption the rows (Q,) of ``images`` that hold copies of rows (Q,)."""
        for row in np.unique(rows[~self._altered_M[rows]]):
            self._fill(int(row))
        size = len(self._pool)
        return {name: rows + place * size for place, name in enumerate(CORRUPTIONS, start=1)}

    def _fill(self, row: int) -> None:
        for place, corrupt in enumerate(CORRUPTIONS.values(), start=1):
            self.images[row + place * len(self._pool)] = corrupt(self._pool[row])
        self._altered_M[row] = True


def _to_bytes(values: np.ndarray) -> Images:
    rounded: Images = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
