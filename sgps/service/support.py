"""The images of a request, decoded and compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sgps.datasets.decoding import DecodedImage, ImageLimits, read_image
from sgps.datasets.manifest import resolve_image_path
from sgps.datasets.repeats import find_repeats
from sgps.errors import ImageError, InputError, RequestError
from sgps.service.requests import SynthesisRequest

MAX_TOTAL_PIXELS = 400_000_000


@dataclass(frozen=True)
class SupportPaths:
    """Where the images of a request lie: per class, in its order, one path an image."""

    paths: tuple[tuple[Path, ...], ...]


@dataclass(frozen=True, eq=False)
class DecodedSupport:
    """The images of a request as decoded.

    ``images`` holds, per class of the request, what the request called each image and its pixels,
    duplicates left out; ``warnings`` says in one line each what the requester should know.
    """

    images: tuple[tuple[tuple[str, DecodedImage], ...], ...]
    warnings: tuple[str, ...]


def find_support(request: SynthesisRequest) -> SupportPaths:
    """Resolve every image path of ``request`` and see that a file is there.

    Raises
    ------
    RequestError: a path leaves the request's folder, or no file is there.
    """
    return SupportPaths(
        tuple(
            tuple(
                _find_image(request.folder, file, field=f"classes[{number}].images[{place}]")
                for place, file in enumerate(item.images)
            )
            for number, item in enumerate(request.classes)
        )
    )


def read_support(
    request: SynthesisRequest, support: SupportPaths, limits: ImageLimits
) -> DecodedSupport:
    """Decode every image; an image given twice in a class is taken once, with a warning.

    Raises
    ------
    ImageError: an image cannot be decoded or is not allowed.
    RequestError: the same image is in two classes, or all together are too large.
    """
    seen: dict[str, tuple[int, str]] = {}
    warnings: list[str] = []
    classes: list[tuple[tuple[str, DecodedImage], ...]] = []
    pixels_left = MAX_TOTAL_PIXELS
    for number, (item, paths) in enumerate(zip(request.classes, support.paths, strict=True)):
        kept: list[tuple[str, DecodedImage]] = []
        for place, (name, path) in enumerate(zip(item.images, paths, strict=True)):
            field = f"classes[{number}].images[{place}]"
            image = _decode(path, limits, field=field)
            pixels_left -= image.pixels.shape[0] * image.pixels.shape[1]
            _require_pixels(pixels_left, field)
            first = seen.setdefault(image.pixel_sha256, (number, name))
            if first == (number, name) and name not in dict(kept):
                kept.append((name, image))
            else:
                warnings.append(_duplicate(request, first, number, name))
        classes.append(tuple(kept))
    warnings.extend(_near_duplicates(request, classes))
    return DecodedSupport(tuple(classes), tuple(warnings))


def _near_duplicates(
    request: SynthesisRequest, classes: list[tuple[tuple[str, DecodedImage], ...]]
) -> list[str]:
    """A warning for each pair of near-duplicates in one class; raises for one in two classes."""
    listed = [(number, name, image) for number, kept in enumerate(classes) for name, image in kept]
    warnings = []
    for first, second in find_repeats([image.pixels for _, _, image in listed]):
        number, name, _ = listed[second]
        if listed[first][0] != number:
            _duplicate(request, listed[first][:2], number, name)
        warnings.append(
            f"class {request.classes[number].name!r}: {name} and {listed[first][1]} are almost"
            " the same image and count as two"
        )
    return warnings


def _find_image(folder: Path, file: str, *, field: str) -> Path:
    try:
        path = resolve_image_path(folder, file)
        found = path.is_file()
    except (InputError, OSError, ValueError) as error:
        expected = error.expected if isinstance(error, InputError) else "a path of a file"
        what = error.what if isinstance(error, InputError) else f"{file!r} cannot be read"
        raise RequestError(
            f"{field}: {what}", expected=expected, remedy="correct the path"
        ) from error
    if not found:
        raise RequestError(f"{field}: there is no file {file}", remedy="correct the path")
    return path


def _decode(path: Path, limits: ImageLimits, *, field: str) -> DecodedImage:
    try:
        return read_image(path, limits=limits)
    except ImageError as error:
        raise ImageError(
            f"{field}: {error.what}", expected=error.expected, remedy=error.remedy
        ) from error


def _require_pixels(left: int, field: str) -> None:
    if left < 0:
        raise RequestError(
            f"{field}: the images together have more than {MAX_TOTAL_PIXELS:,} pixels",
            expected=f"at most {MAX_TOTAL_PIXELS:,} pixels in one request",
            remedy="shrink the images or give fewer",
        )


def _duplicate(request: SynthesisRequest, first: tuple[int, str], number: int, name: str) -> str:
    other, other_name = first
    if other != number:
        raise RequestError(
            f"{other_name} of class {request.classes[other].name!r} and {name} of class"
            f" {request.classes[number].name!r} are the same image",
            expected="every image in one class only",
            remedy="remove it from one of them",
        )
    return (
        f"class {request.classes[number].name!r}: {name} shows the same as {other_name}"
        " and was left out"
    )
