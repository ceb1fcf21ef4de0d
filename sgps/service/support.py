"""The images of a request, decoded and compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sgps.datasets.decoding import DecodedImage, ImageLimits, read_image
from sgps.datasets.hygiene import inspect_image
from sgps.datasets.manifest import resolve_image_path
from sgps.datasets.repeats import find_repeats
from sgps.errors import ImageError, InputError, RequestError
from sgps.service.requests import SynthesisRequest

MAX_TOTAL_PIXELS = 400_000_000
OWN_COPIES = ImageLimits(
    max_bytes=4 * MAX_TOTAL_PIXELS, max_pixels=MAX_TOTAL_PIXELS, min_side=1, formats=("PNG",)
)
"""Of copies that SGPS made itself, which can be larger than the files that were accepted."""


@dataclass(frozen=True)
class SupportPaths:
    """Where the images of a request lie: per class, in its order, one path an image."""

    paths: tuple[tuple[Path, ...], ...]


@dataclass(frozen=True)
class ImageOrigin:
    """The file that an image came in, where what is read is a copy that was made of it.

    format: what its bytes were, such as "JPEG". removed: kinds of metadata that were taken out.
    file_sha256: of its bytes.
    """

    format: str
    removed: tuple[str, ...]
    file_sha256: str


@dataclass(frozen=True)
class SupportCheck:
    """What a check found in one image, without what the image file is called.

    Attributes
    ----------
    check: what was looked for, "duplicate", "near_duplicate", or a code of
        :func:`sgps.datasets.hygiene.inspect_image`.
    label: class of the image; "" where it concerns several.
    image: its number in the class as requested, from 1.
    finding: one line for people, that names class and numbers.
    """

    check: str
    label: str
    image: int
    finding: str

    def to_dict(self) -> dict[str, str | int]:
        """JSON-able form."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class DecodedSupport:
    """The images of a request as decoded.

    Attributes
    ----------
    images: per class of the request, what the request called each image and its pixels,
        duplicates left out.
    persons: per class, a pseudonym of the person in each of these images, "" where none is given.
    warnings: one line each that the requester should know, with the names of files.
    checks: the same findings without these names.
    """

    images: tuple[tuple[tuple[str, DecodedImage], ...], ...]
    persons: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...] = ()
    checks: tuple[SupportCheck, ...] = ()


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
    request: SynthesisRequest,
    support: SupportPaths,
    limits: ImageLimits,
    copies: Collection[str] = (),
) -> DecodedSupport:
    """Decode every image; an image given twice in a class is taken once, with a warning.

    Parameters
    ----------
    limits: of the files that the requester chose.
    copies: names in the request of files that SGPS made from images it accepted.

    Raises
    ------
    ImageError: an image cannot be decoded or is not allowed.
    RequestError: the same image is in two classes, or all together are too large.
    """
    seen: dict[str, _Place] = {}
    kept: list[_Kept] = []
    repeats: list[tuple[_Place, _Place]] = []
    pixels_left = MAX_TOTAL_PIXELS
    for number, (item, paths) in enumerate(zip(request.classes, support.paths, strict=True)):
        for place, (name, path) in enumerate(zip(item.images, paths, strict=True)):
            field = f"classes[{number}].images[{place}]"
            image = _decode(path, OWN_COPIES if name in copies else limits, field=field)
            pixels_left -= image.pixels.shape[0] * image.pixels.shape[1]
            _require_pixels(pixels_left, field)
            here = _Place(number, place, name)
            first = seen.setdefault(image.pixel_sha256, here)
            if first == here:
                kept.append((here, image))
            else:
                repeats.append((first, here))
    found = [_duplicate(request, first, here) for first, here in repeats]
    found += _near_duplicates(request, kept)
    found += [finding for here, image in kept for finding in _hygiene(request, here, image)]
    return DecodedSupport(
        tuple(_of_class(kept, number) for number in range(len(request.classes))),
        tuple(_persons(request, kept, number) for number in range(len(request.classes))),
        tuple(warning for warning, _ in found),
        tuple(check for _, check in found),
    )


def with_origins(support: DecodedSupport, origins: Mapping[str, ImageOrigin]) -> DecodedSupport:
    """The support whose images tell of the files they first came in.

    ``origins`` are by the name of the image in the request; others stay as they are.
    """
    return replace(
        support,
        images=tuple(
            tuple((name, _from_origin(image, origins.get(name))) for name, image in images)
            for images in support.images
        ),
    )


def _from_origin(image: DecodedImage, origin: ImageOrigin | None) -> DecodedImage:
    if origin is None:
        return image
    return replace(
        image, format=origin.format, removed=origin.removed, file_sha256=origin.file_sha256
    )


@dataclass(frozen=True)
class _Place:
    """Number of a class, number of an image in it (both from 0), and what the image is called."""

    number: int
    image: int
    name: str


_Kept = tuple[_Place, DecodedImage]
_Finding = tuple[str, SupportCheck]


def _of_class(kept: list[_Kept], number: int) -> tuple[tuple[str, DecodedImage], ...]:
    return tuple((place.name, image) for place, image in kept if place.number == number)


def _persons(request: SynthesisRequest, kept: list[_Kept], number: int) -> tuple[str, ...]:
    given = request.classes[number].persons
    places = [place.image for place, _ in kept if place.number == number]
    return tuple(given[place] if given else "" for place in places)


def _near_duplicates(request: SynthesisRequest, kept: list[_Kept]) -> list[_Finding]:
    """A finding for each pair of near-duplicates in one class; raises for one in two classes."""
    findings = []
    for first, second in find_repeats([image.pixels for _, image in kept]):
        one, other = kept[first][0], kept[second][0]
        _require_one_class(request, one, other)
        findings.append(
            _finding(
                request,
                "near_duplicate",
                one,
                other,
                "{other} and {one} are almost the same image and count as two",
            )
        )
    return findings


def _duplicate(request: SynthesisRequest, first: _Place, here: _Place) -> _Finding:
    _require_one_class(request, first, here)
    return _finding(
        request, "duplicate", first, here, "{other} shows the same as {one} and was left out"
    )


def _hygiene(request: SynthesisRequest, here: _Place, image: DecodedImage) -> list[_Finding]:
    """Warnings about one image; what was removed from its file is recorded elsewhere."""
    label = request.classes[here.number].name
    return [
        (
            f"class {label!r}: {here.name}: {found.message}",
            SupportCheck(
                found.code,
                label,
                here.image + 1,
                f"class {label!r}: image {here.image + 1}: {found.message}",
            ),
        )
        for found in inspect_image(image)
        if found.severity == "warning"
    ]


def _require_one_class(request: SynthesisRequest, first: _Place, here: _Place) -> None:
    if first.number != here.number:
        raise RequestError(
            f"{first.name} of class {request.classes[first.number].name!r} and {here.name} of"
            f" class {request.classes[here.number].name!r} are the same image",
            expected="every image in one class only",
            remedy="remove it from one of them",
        )


def _finding(
    request: SynthesisRequest, check: str, one: _Place, other: _Place, words: str
) -> _Finding:
    label = request.classes[other.number].name
    named = words.format(one=one.name, other=other.name)
    numbered = words.format(one=f"image {one.image + 1}", other=f"image {other.image + 1}")
    return (
        f"class {label!r}: {named}",
        SupportCheck(check, label, other.image + 1, f"class {label!r}: {numbered}"),
    )


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
