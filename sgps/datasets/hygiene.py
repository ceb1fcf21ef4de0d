"""What to tell at once of an image that somebody brings: too dark, blurred, text on it, known.

Nothing here refuses an image; a person reads the findings and decides. Shapes: pixels are uint8 of
shape (H, W, 3), of any size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from sgps.datasets._burnt_in_text import find_letters, reduce_to
from sgps.datasets._checks import ValidationRules
from sgps.datasets.decoding import DecodedImage, Pixels, check_pixels, hash_pixels, perceptual_hash
from sgps.datasets.repeats import find_repeats
from sgps.errors import InputError

__all__ = [
    "DEFAULT_RULES",
    "Finding",
    "HygieneRules",
    "PairFinding",
    "compare_images",
    "inspect_image",
    "near_known",
    "perceptual_hash",
]

Severity = Literal["note", "warning"]
Greys = npt.NDArray[np.uint8]

_BLUR_SIDE = 128
_SMALLEST_SIDE = 8
_METADATA_WORDS = {
    "exif": "EXIF data (place, time, device)",
    "icc": "a colour profile",
    "iptc": "IPTC captions",
    "pictures": "further pictures",
    "text": "comments",
    "xmp": "XMP data",
}


@dataclass(frozen=True)
class HygieneRules:
    """From where on an image is worth a word.

    Brightness is of grey values, 0 to 255, of the image shrunk to at most 128 pixels a side.

    Attributes
    ----------
    target_resolution: side of what the classifier sees, in pixels.
    dark: the image is too dark if 99 of 100 pixels are below.
    bright: the image is too bright if 99 of 100 pixels are above.
    contrast: the image is blank if the middle 98 of 100 pixels span less.
    laplacian: the image is blurred if the variance of its Laplacian is below. Phantoms of 128 to
        512 pixels have 7.5 or more, and 4.9 or less after a Gaussian blur of 1/50 of their side.
    relative_laplacian: or if it is below this share of the variance of the grey values, for images
        of high contrast. Phantoms have 0.0079 or more.
    letters: text is burnt in if so many letters stand in rows of four or more.
    """

    target_resolution: int = 128
    dark: float = 60.0
    bright: float = 215.0
    contrast: float = 10.0
    laplacian: float = 6.0
    relative_laplacian: float = 0.007
    letters: int = 5


DEFAULT_RULES = HygieneRules()


@dataclass(frozen=True)
class Finding:
    """One thing to know of one image.

    code: "too_dark", "too_bright", "low_contrast", "blurred", "too_small", "text_burnt_in" or
    "metadata_removed". message: one sentence with the measured value and what to do.
    """

    code: str
    severity: Severity
    message: str

    def to_dict(self) -> dict[str, str]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class PairFinding:
    """Two images, by their places in the sequence (from 0, first < second), that are one picture.

    code: "exact_duplicate" or "near_duplicate".
    """

    first: int
    second: int
    code: str
    severity: Severity
    message: str

    def to_dict(self) -> dict[str, str | int]:
        """Plain values, for JSON."""
        return asdict(self)


def inspect_image(
    image: DecodedImage, *, rules: HygieneRules = DEFAULT_RULES
) -> tuple[Finding, ...]:
    """Everything worth saying of one image, warnings first; about 10 ms at 1000 x 1000 pixels.

    Raises
    ------
    ImageError: the pixels are not uint8 of shape (H, W, 3).
    """
    check_pixels(image.pixels)
    findings = _exposure(image.pixels, rules)
    if not findings:
        findings = [*_sharpness(image.pixels, rules), *_burnt_in_text(image.pixels, rules)]
    findings += [*_size(image.pixels, rules), *_metadata(image.removed)]
    return tuple(findings)


def compare_images(pixels: Sequence[Pixels]) -> list[PairFinding]:
    """Every pair of images that are the same picture, exactly or nearly (re-encoded, resized)."""
    digests = [hash_pixels(image) for image in pixels]
    exact = {
        pair
        for pair in combinations(range(len(digests)), 2)
        if digests[pair[0]] == digests[pair[1]]
    }
    return [
        PairFinding(first, second, "exact_duplicate", "warning", _pair_words(first, second, "the"))
        if (first, second) in exact
        else PairFinding(
            first, second, "near_duplicate", "warning", _pair_words(first, second, "nearly the")
        )
        for first, second in sorted(exact.union(find_repeats(pixels)))
    ]


def near_known(pixels: Pixels, known_hashes: Mapping[str, str]) -> list[str]:
    """Names of known images that this one (H, W, 3) may be a copy of, the most alike first.

    known_hashes: what :func:`perceptual_hash` gave, by name. The distance is the one within which
    validation looks at a pair more closely; a hash alone can be mistaken, so a person should look.
    A blank image resembles nothing.

    Raises
    ------
    InputError: a hash is not 16 hex digits. ImageError: the pixels are not as said.
    """
    own = int(perceptual_hash(pixels), 16)
    low, high = _brightness_range(_shrunk_grey(pixels))
    distances = {
        name: (own ^ _parse(name, known)).bit_count() for name, known in known_hashes.items()
    }
    if high - low < DEFAULT_RULES.contrast:
        return []
    limit = ValidationRules().max_hash_distance
    near = [(distance, name) for name, distance in distances.items() if distance <= limit]
    return [name for _, name in sorted(near)]


def _parse(name: str, known: str) -> int:
    if not re.fullmatch(r"[0-9a-fA-F]{16}", known):
        raise InputError(
            f"perceptual hash {known[:40]!r} of {name[:80]!r}", expected="16 hex digits"
        )
    return int(known, 16)


def _pair_words(first: int, second: int, alike: str) -> str:
    return f"Images {first + 1} and {second + 1} are {alike} same picture; keep one of them."


def _exposure(pixels: Pixels, rules: HygieneRules) -> list[Finding]:
    low, high = _brightness_range(_shrunk_grey(pixels))
    findings = []
    if high < rules.dark:
        words = (
            f"Too dark: nearly all of it is below brightness {high:.0f} of 255 (usual: above "
            f"{rules.dark:.0f}); take it again with more light."
        )
        findings.append(Finding("too_dark", "warning", words))
    if low > rules.bright:
        words = (
            f"Too bright: nearly all of it is above brightness {low:.0f} of 255 (usual: below "
            f"{rules.bright:.0f}); take it again with less light."
        )
        findings.append(Finding("too_bright", "warning", words))
    if high - low < rules.contrast:
        words = (
            f"Almost blank: its brightness spans {high - low:.0f} of 255 (usual: above "
            f"{rules.contrast:.0f}); check that it is the right file."
        )
        findings.append(Finding("low_contrast", "warning", words))
    return findings


def _sharpness(pixels: Pixels, rules: HygieneRules) -> list[Finding]:
    grey = _shrunk_grey(pixels).astype(np.float32)
    if min(grey.shape) < _SMALLEST_SIDE:
        return []
    inner = grey[1:-1, 1:-1]
    laplacian = 4 * inner - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    variance = float(laplacian.var())
    least = max(rules.laplacian, rules.relative_laplacian * float(grey.var()))
    if variance >= least:
        return []
    words = (
        f"Blurred: its sharpness is {variance:.1f} (usual: above {least:.1f}); take it again in "
        "focus, or give the original instead of an enlarged copy."
    )
    return [Finding("blurred", "warning", words)]


def _size(pixels: Pixels, rules: HygieneRules) -> list[Finding]:
    height, width = pixels.shape[:2]
    if min(height, width) >= rules.target_resolution:
        return []
    words = (
        f"Small: it is {width} x {height} pixels and the classifier looks at "
        f"{rules.target_resolution} x {rules.target_resolution}; give a larger one if there is one."
    )
    return [Finding("too_small", "warning", words)]


def _metadata(removed: Sequence[str]) -> list[Finding]:
    if not removed:
        return []
    kinds = ", ".join(_METADATA_WORDS.get(kind, kind) for kind in removed)
    words = f"The file also carried {kinds}; that was removed, and nothing needs to be done."
    return [Finding("metadata_removed", "note", words)]


def _burnt_in_text(pixels: Pixels, rules: HygieneRules) -> list[Finding]:
    letters = find_letters(pixels)
    if len(letters) < rules.letters:
        return []
    words = (
        f"About {len(letters)} letters seem to be burnt in {_place(letters)}; if they tell who the "
        "patient is, crop or cover them."
    )
    return [Finding("text_burnt_in", "warning", words)]


def _place(boxes: npt.NDArray[np.float64]) -> str:
    middle_y = (boxes[:, 0].min() + boxes[:, 1].max()) / 2
    middle_x = (boxes[:, 2].min() + boxes[:, 3].max()) / 2
    rows = "top" if middle_y < 1 / 3 else "bottom" if middle_y > 2 / 3 else ""
    columns = "left" if middle_x < 1 / 3 else "right" if middle_x > 2 / 3 else ""
    corner = " ".join(word for word in (rows, columns) if word)
    return f"at the {corner}" if corner else "inside"


def _brightness_range(grey: Greys) -> tuple[float, float]:
    low, high = np.percentile(grey, (1, 99))
    return float(low), float(high)


def _shrunk_grey(pixels: Pixels) -> Greys:
    """Grey values of the image, shrunk to at most 128 pixels a side."""
    image = reduce_to(pixels, 4 * _BLUR_SIDE).convert("L")
    share = min(1.0, _BLUR_SIDE / max(image.size))
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    return np.asarray(image.resize(size, Image.Resampling.BOX), dtype=np.uint8)
