"""One image on its way in, and the protocol of everything that yields images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

ROLES = ("meta_train", "meta_val", "novel_val", "novel_test", "unassigned")

_SEX_SPELLINGS = {"f": "female", "female": "female", "m": "male", "male": "male"}


@dataclass(frozen=True)
class ImageRecord:
    """One image of a source: where its bytes come from and what is known of it.

    name: unique in the source, usually the file's path. label: its class. group: patient, lesion
    or near-duplicate cluster; splits never cut through one. role: one of ``ROLES``. read: gives
    the file's bytes, called once, as late as possible. age: in years, None where unknown; the
    strings are empty where unknown.
    """

    name: str
    label: str
    group: str
    role: str
    read: Callable[[], bytes]
    sex: str = ""
    age: float | None = None
    site: str = ""
    text: str = ""
    extra: str = ""


class Source(Protocol):
    """Anything that yields images: a folder, a manifest, an archive, a generator."""

    @property
    def name(self) -> str:
        """Name of the dataset that ingesting makes of it."""

    def records(self) -> Iterator[ImageRecord]:
        """Yield the records, in the same order at every call."""

    def __len__(self) -> int:
        """Count of the records that :meth:`records` yields."""


def normalise_sex(sex: str) -> str:
    """``female`` or ``male`` for their usual spellings, anything else in lower case."""
    lowered = sex.strip().lower()
    return _SEX_SPELLINGS.get(lowered, lowered)
