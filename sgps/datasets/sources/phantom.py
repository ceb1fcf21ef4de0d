"""Drawn lesions as a source, with people and places as varied as a clinic's."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from sgps.datasets._grouping import roles_by_group
from sgps.datasets.decoding import encode_png
from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom
from sgps.datasets.records import ImageRecord
from sgps.errors import InputError, UnknownNameError

DEFAULT_ROLES: Mapping[str, float] = {"meta_train": 0.75, "meta_val": 0.25}
_SITES = ("back", "abdomen", "chest", "face", "scalp", "upper extremity", "lower extremity")


class PhantomSource:
    """Procedurally drawn, seeded lesions of some of the ``PHANTOM_CLASSES``.

    Each image is a lesion and a group of its own, with a sex, an age, a site and a case text that
    tell nothing of its class. An image depends on the seed, its class and its number alone.

    name: of the dataset. classes: names, or how many from the start of ``PHANTOM_CLASSES``
    (default: all). size: of the images, 32 to 1024 pixels. novel_test, novel_val: classes that
    have this role as a whole, by name or by count from the end of ``classes`` (novel_test last).
    roles: shares of the roles among the lesions of each other class.

    Raises
    ------
    UnknownNameError: a class that is not drawn. InputError: a count or size out of range, or
        shares that do not add up to 1.
    """

    def __init__(
        self,
        name: str = "phantom",
        *,
        classes: int | Sequence[str] | None = None,
        images_per_class: int = 24,
        size: int = 128,
        seed: int = 0,
        roles: Mapping[str, float] = DEFAULT_ROLES,
        novel_test: int | Sequence[str] = (),
        novel_val: int | Sequence[str] = (),
    ) -> None:
        self.name = name
        if images_per_class < 1 or not 32 <= size <= 1024 or seed < 0:
            raise InputError(
                f"images_per_class {images_per_class}, size {size}, seed {seed}",
                expected="at least 1 image, 32 to 1024 pixels, a seed of at least 0",
            )
        every = list(PHANTOM_CLASSES)
        self.classes = tuple(every if classes is None else _first(every, classes))
        tested = _last(self.classes, novel_test)
        remaining = [kind for kind in self.classes if kind not in tested]
        validated = _last(remaining, novel_val)
        self._size = size
        self._seed = seed
        self._rows: list[tuple[str, int, str]] = []
        for kind in self.classes:
            whole = "novel_test" if kind in tested else "novel_val" if kind in validated else ""
            groups = [f"{kind}-{number:04d}" for number in range(images_per_class)]
            shares = {whole: 1.0} if whole else roles
            assigned = roles_by_group(groups, shares, seed, strata=[kind] * len(groups))
            self._rows.extend((kind, number, role) for number, role in enumerate(assigned))

    def __len__(self) -> int:
        return len(self._rows)

    def records(self) -> Iterator[ImageRecord]:
        """Yield the lesions class by class."""
        for kind, number, role in self._rows:
            people = np.random.default_rng([self._seed, zlib.crc32(kind.encode()), number, 1])
            sex = ("female", "male")[int(people.integers(2))]
            age = float(people.integers(4, 18) * 5)
            site = _SITES[int(people.integers(len(_SITES)))]
            yield ImageRecord(
                name=f"{kind}/{number:04d}.png",
                label=kind,
                group=f"{kind}-{number:04d}",
                role=role,
                read=partial(self._draw, kind, number),
                sex=sex,
                age=age,
                site=site,
                text=f"{age:.0f}-year-old {sex}, lesion on the {site}. Drawn, not photographed.",
            )

    def _draw(self, kind: str, number: int) -> bytes:
        rng = np.random.default_rng([self._seed, zlib.crc32(kind.encode()), number])
        return encode_png(draw_phantom(kind, self._size, rng))


def _first(every: Sequence[str], wanted: int | Sequence[str]) -> list[str]:
    if isinstance(wanted, int):
        if not 1 <= wanted <= len(every):
            raise InputError(f"{wanted} phantom classes", expected=f"1 to {len(every)}")
        return list(every[:wanted])
    return _known(every, wanted)


def _last(every: Sequence[str], wanted: int | Sequence[str]) -> list[str]:
    if isinstance(wanted, int):
        if not 0 <= wanted <= len(every):
            raise InputError(f"{wanted} novel phantom classes", expected=f"0 to {len(every)}")
        return list(every[len(every) - wanted :])
    return _known(every, wanted)


def _known(every: Sequence[str], names: Sequence[str]) -> list[str]:
    chosen = [names] if isinstance(names, str) else list(names)
    for name in chosen:
        if name not in every:
            raise UnknownNameError(f"phantom class {name!r}", expected=f"one of {', '.join(every)}")
    if len(set(chosen)) < len(chosen):
        raise InputError(f"phantom classes {', '.join(chosen)}", expected="each class once")
    return chosen
