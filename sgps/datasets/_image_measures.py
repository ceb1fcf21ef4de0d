"""What validation measures on the stored pixels of a dataset."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from sgps.datasets._near_duplicates import THUMBNAIL_SIDE, detail_signature
from sgps.datasets.storage import StoredDataset

_SIGNATURE_WIDTH = 1024
_BATCH = 64


@dataclass(frozen=True)
class ImageMeasures:
    """One row for each of n images.

    width, height: (n,), pixels, of the stored image. channels: (n,). brightness: (n,), mean grey
    value, 0 to 255. contrast: (n,), standard deviation of the grey values of a thumbnail.
    signatures: (n, 1024), see :func:`sgps.datasets._near_duplicates.detail_signature`.
    """

    width: npt.NDArray[np.int64]
    height: npt.NDArray[np.int64]
    channels: npt.NDArray[np.int64]
    brightness: npt.NDArray[np.float64]
    contrast: npt.NDArray[np.float64]
    signatures: npt.NDArray[np.float32]


def measure_images(dataset: StoredDataset) -> ImageMeasures:
    """Decode every stored image once and measure it."""
    count = len(dataset.frame)
    measures = ImageMeasures(
        width=np.zeros(count, dtype=np.int64),
        height=np.zeros(count, dtype=np.int64),
        channels=np.zeros(count, dtype=np.int64),
        brightness=np.zeros(count),
        contrast=np.zeros(count),
        signatures=np.zeros((count, _SIGNATURE_WIDTH), dtype=np.float32),
    )

    def measure(row: int, png: bytes) -> None:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            _measure_into(measures, row, image)

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, count, _BATCH):
            rows = range(start, min(start + _BATCH, count))
            list(pool.map(measure, rows, [dataset.png_bytes(row) for row in rows]))
    return measures


def grey_thumbnail(grey: Image.Image) -> npt.NDArray[np.uint8]:
    """The central square of a grey image, shrunk to (64, 64), uint8."""
    side = min(grey.size)
    left, top = (grey.width - side) / 2, (grey.height - side) / 2
    square = grey.resize(
        (THUMBNAIL_SIDE, THUMBNAIL_SIDE),
        Image.Resampling.BICUBIC,
        box=(left, top, left + side, top + side),
    )
    return np.asarray(square, dtype=np.uint8)


def _measure_into(measures: ImageMeasures, row: int, image: Image.Image) -> None:
    measures.width[row], measures.height[row] = image.size
    measures.channels[row] = len(image.getbands())
    grey = image.convert("L")
    thumbnail = grey_thumbnail(grey)
    measures.brightness[row] = float(np.asarray(grey).mean())
    measures.contrast[row] = float(thumbnail.std())
    measures.signatures[row] = detail_signature(thumbnail)
