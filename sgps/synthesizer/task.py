"""What a synthesis is asked for: classes with their support images and descriptions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgps.errors import RequestError

MIN_WAYS = 2
MAX_WAYS = 20

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ClassSupport:
    """One class of a task.

    Attributes
    ----------
    name: unique within the task.
    images: one or more images, each uint8 of shape (H, W, 3), of any size.
    description: clinical text; empty where there is none.
    """

    name: str
    images: tuple[Pixels, ...]
    description: str = ""


class CanonicalSupport(NamedTuple):
    """The support of a task in an order that does not depend on how it was given."""

    classes: tuple[ClassSupport, ...]
    position: tuple[int, ...]
    """``position[i]`` is where the task's class ``i`` stands in ``classes``."""


@dataclass(frozen=True, eq=False)
class Task:
    """A few-shot classification task: 2 to 20 classes, one or more images each.

    Raises
    ------
    RequestError: too few or too many classes, a class without images, a repeated class name, an
        array that is no image, or one image in two classes.
    """

    name: str
    classes: tuple[ClassSupport, ...]

    def __post_init__(self) -> None:
        _check_ways(self)
        for support in self.classes:
            _check_class(support)
        _check_disjoint(self)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order they were given."""
        return tuple(support.name for support in self.classes)

    def canonical(self) -> CanonicalSupport:
        """Sort classes by name and each class's images by digest.

        Synthesis works on this order, so that floating-point sums, and with them every bit of the
        weights, do not depend on the order in which images and classes were given.
        """
        order = sorted(range(len(self.classes)), key=lambda index: self.classes[index].name)
        classes = tuple(
            ClassSupport(
                name=self.classes[index].name,
                images=tuple(sorted(self.classes[index].images, key=pixel_digest)),
                description=self.classes[index].description,
            )
            for index in order
        )
        position = [0] * len(order)
        for place, index in enumerate(order):
            position[index] = place
        return CanonicalSupport(classes, tuple(position))


def pixel_digest(pixels: Pixels) -> str:
    """SHA-256 of an image's shape and RGB bytes."""
    height, width, channels = pixels.shape
    head = f"{height}x{width}x{channels}:".encode()
    return hashlib.sha256(head + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _check_ways(task: Task) -> None:
    ways = len(task.classes)
    if not MIN_WAYS <= ways <= MAX_WAYS:
        raise RequestError(
            f"classes: {ways} given",
            expected=f"{MIN_WAYS} to {MAX_WAYS} classes",
            remedy="add or remove classes",
        )
    seen: set[str] = set()
    for index, support in enumerate(task.classes):
        if support.name in seen:
            raise RequestError(
                f"classes[{index}].name: {support.name!r} is used twice",
                expected="unique class names",
                remedy="rename or merge the classes",
            )
        seen.add(support.name)


def _check_class(support: ClassSupport) -> None:
    if not support.images:
        raise RequestError(
            f"class {support.name!r} has no images",
            expected="at least one image a class",
            remedy="add an image or remove the class",
        )
    for number, pixels in enumerate(support.images):
        if (
            pixels.dtype != np.uint8
            or pixels.ndim != 3
            or pixels.shape[2] != 3
            or 0 in pixels.shape
        ):
            raise RequestError(
                f"class {support.name!r}, image {number}: {pixels.dtype} of shape {pixels.shape}",
                expected="uint8 of shape (height, width, 3)",
            )


def _check_disjoint(task: Task) -> None:
    owner: dict[str, str] = {}
    for support in task.classes:
        for digest in {pixel_digest(pixels) for pixels in support.images}:
            other = owner.setdefault(digest, support.name)
            if other != support.name:
                raise RequestError(
                    f"the same image is in class {other!r} and in class {support.name!r}",
                    expected="every image in one class only",
                    remedy="remove it from one of them",
                )
