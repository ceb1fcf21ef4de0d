"""Letters burnt into an image, found by their look; what they say is not read.

A heuristic for Latin letters and digits in level rows, at least about 1/50 of the longer side high.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops

from sgps.datasets.decoding import Pixels

LETTERS_IN_A_ROW = 4

_WORKING_SIDE = 640
_SMALLEST_SIDE = 8
_STROKE_RADIUS = 4
_STROKE_CONTRAST = 56
_SAME_COLOUR = 24
_MOST_STROKES = 3000
_LETTERS_LOOKED_AT = 600

Greys = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]


def find_letters(pixels: Pixels) -> Boxes:
    """What looks like letters in rows of at least four, in the colour that shows most of them.

    pixels: uint8 (H, W, 3). Returns (n, 4): top, bottom, left and right of each, as shares of the
    height and the width.
    """
    if min(pixels.shape[:2]) < _SMALLEST_SIDE:
        return np.zeros((0, 4))
    small = reduce_to(pixels, _WORKING_SIDE)
    grey = np.asarray(small.convert("L"))
    red, green, blue = small.split()
    darkest = np.asarray(ImageChops.darker(ImageChops.darker(red, green), blue))
    # Yellow or red letters on skin differ in the darkest channel, coloured ones on black in grey.
    looks = [_letters_in_rows(plane) for plane in (grey, darkest, 255 - darkest)]
    height, width = grey.shape
    return max(looks, key=len)[:, :4] / (height, height, width, width)


def reduce_to(pixels: Pixels, side: int) -> Image.Image:
    """The image, both sides divided by the least whole number that makes them at most ``side``."""
    image = Image.fromarray(pixels)
    return image.reduce(max(1, math.ceil(max(image.size) / side)))


def _letters_in_rows(plane: Greys) -> Boxes:
    """Boxes (n, 5; see `_letter_boxes`) of light letters that stand beside others in level rows."""
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415  (only looked for here)

    boxes = _letter_boxes(plane)[:_LETTERS_LOOKED_AT]
    if len(boxes) < LETTERS_IN_A_ROW:
        return boxes[:0]
    _, row_of = connected_components(_neighbours(boxes), directed=False)
    long = np.bincount(row_of)[row_of] >= LETTERS_IN_A_ROW
    kept = [
        row
        for row in (boxes[long & (row_of == number)] for number in np.unique(row_of[long]))
        if np.ptp(row[:, 1]) <= 0.5 * np.median(row[:, 1] - row[:, 0])
    ]
    return np.concatenate(kept) if kept else boxes[:0]


def _letter_boxes(plane: Greys) -> Boxes:
    """Top, bottom, left, right and brightness, (n, 5), of thin light strokes shaped like letters.

    Strokes are what a morphological opening takes away; thousands of them are a texture, not text.
    Rows from top to bottom.
    """
    from scipy import ndimage  # noqa: PLC0415  (only looked for here)

    opened = _extreme(_extreme(plane, np.minimum), np.maximum)
    mask = plane - opened >= _STROKE_CONTRAST
    marks, count = ndimage.label(mask, np.ones((3, 3)))
    if not LETTERS_IN_A_ROW <= count <= _MOST_STROKES:
        return np.zeros((0, 5))
    spans = [
        (rows.start, rows.stop, columns.start, columns.stop)
        for rows, columns in ndimage.find_objects(marks)
    ]
    boxes = np.array(spans, dtype=np.float64)
    area = np.bincount(marks[mask], minlength=count + 1)[1:]
    peak = ndimage.maximum(plane[mask], marks[mask], np.arange(1, count + 1))
    height, width = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    filled = area / (height * width)
    shaped = (height >= 5) & (height <= 60) & (width >= 0.08 * height) & (width <= 1.6 * height)
    drawn = (filled > 0.15) & ((filled < 0.9) | (width < 0.45 * height))
    letters: Boxes = np.column_stack([boxes, peak])[shaped & drawn]
    return letters


def _neighbours(boxes: Boxes) -> npt.NDArray[np.bool_]:
    """Which letters (n, n) are alike in height and colour, side by side, and level."""
    top, bottom, left, right, colour = boxes.T
    height = bottom - top
    tall = np.maximum(height[:, None], height)
    gap = np.maximum(left[:, None], left) - np.minimum(right[:, None], right)
    near = (gap <= 0.9 * tall) & (gap >= -0.2 * tall)
    level = np.abs(bottom[:, None] - bottom) <= np.maximum(1.0, 0.1 * tall)
    alike = np.minimum(height[:, None], height) >= 0.55 * tall
    same_colour = np.abs(colour[:, None] - colour) <= _SAME_COLOUR
    beside: npt.NDArray[np.bool_] = near & level & alike & same_colour
    return beside


def _extreme(plane: Greys, of: np.ufunc) -> Greys:
    """Minimum or maximum over a square window of `_STROKE_RADIUS` to every side, same shape."""
    for axis in (0, 1):
        margins = [(0, 0), (0, 0)]
        margins[axis] = (_STROKE_RADIUS, _STROKE_RADIUS)
        lines = np.moveaxis(np.pad(plane, margins, mode="edge"), axis, 0)
        covered, window = 1, 2 * _STROKE_RADIUS + 1
        while covered < window:
            step = min(covered, window - covered)
            lines, covered = of(lines[:-step], lines[step:]), covered + step
        plane = np.moveaxis(lines, 0, axis)
    return plane
