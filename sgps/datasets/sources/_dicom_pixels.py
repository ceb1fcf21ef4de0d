"""Stored values of a DICOM image to the 8-bit picture that a viewer would show.

pydicom is an extra: it is imported where it is needed, after the source has found it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sgps.datasets.decoding import ImageLimits
from sgps.errors import ImageError

_FAR = 1e9


def check_displayable(dataset: Any, name: str, limits: ImageLimits) -> None:
    """Raise ImageError unless ``dataset`` holds one frame within ``limits``; nothing is decoded."""
    rows, columns = _integer(dataset, "Rows"), _integer(dataset, "Columns")
    if "PixelData" not in dataset or rows < 1 or columns < 1:
        raise ImageError(f"{name}: no pixels", expected="a DICOM image")
    frames = _integer(dataset, "NumberOfFrames") or 1
    if frames > 1:
        raise ImageError(
            f"{name}: {frames} frames",
            expected="an image of one frame",
            remedy="export the frame that matters as an image of its own",
        )
    if rows * columns > limits.max_pixels:
        raise ImageError(
            f"{name}: {columns} x {rows} pixels", expected=f"at most {limits.max_pixels:,} pixels"
        )
    if _integer(dataset, "SamplesPerPixel") not in (1, 3):
        raise ImageError(f"{name}: an unknown kind of pixels", expected="grey or three colours")


def display_pixels(dataset: Any, name: str) -> npt.NDArray[np.uint8]:
    """The image as uint8 (H, W, 3).

    Grey values go through the modality LUT or rescale, then the first window or VOI LUT (the
    whole range of values where there is none) to 0..255, inverted for MONOCHROME1. Colours are
    turned into RGB of 8 bits.

    Raises
    ------
    ImageError: the pixels cannot be decoded.
    """
    try:
        values = dataset.pixel_array
        kind = str(dataset.PhotometricInterpretation)
        if kind.startswith("MONOCHROME"):
            grey = _grey(values, dataset)
            grey = 255 - grey if kind == "MONOCHROME1" else grey
            return np.repeat(grey[..., None], 3, axis=2)
        return _coloured(values, dataset, kind)
    except Exception as error:  # decoding hostile bytes raises nearly anything
        raise ImageError(
            f"{name}: pixels cannot be decoded ({type(error).__name__}: {str(error)[:150]})",
            expected="uncompressed pixels, RLE, JPEG or JPEG 2000",
            remedy="export the image uncompressed",
        ) from error


def _grey(values: npt.NDArray[Any], dataset: Any) -> npt.NDArray[np.uint8]:
    from pydicom.pixels.processing import (  # noqa: PLC0415
        apply_modality_lut,
        apply_voi_lut,
        apply_windowing,
    )

    modality = apply_modality_lut(values, dataset)
    if dataset.get("VOILUTSequence"):
        shown = apply_voi_lut(modality, dataset, index=0, prefer_lut=True)
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return _scale(shown, 0.0, 2.0**bits - 1)
    if dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        shown = apply_windowing(modality, dataset, index=0)
        low, high = apply_windowing(np.array([-_FAR, _FAR]), dataset, index=0)
        return _scale(shown, float(low), float(high))
    inside = modality
    if "PixelPaddingValue" in dataset and (values != dataset.PixelPaddingValue).any():
        inside = modality[values != dataset.PixelPaddingValue]
    return _scale(modality, float(inside.min()), float(inside.max()))


def _coloured(values: npt.NDArray[Any], dataset: Any, kind: str) -> npt.NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_color_lut  # noqa: PLC0415

    if kind == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
        bits = 8 * values.dtype.itemsize
    else:
        bits = int(dataset.BitsStored)
    return _scale(values[..., :3], 0.0, 2.0**bits - 1)


def _scale(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    share = (values.astype(np.float64) - low) / max(high - low, 1e-9)
    scaled: npt.NDArray[np.uint8] = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return scaled


def _integer(dataset: Any, keyword: str) -> int:
    try:
        return int(dataset.get(keyword) or 0)
    except (TypeError, ValueError):
        return 0
