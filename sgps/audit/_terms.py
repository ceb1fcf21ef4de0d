"""The index to search by: reading it, matching it, forgetting parts of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, select

from sgps.audit._entries import term_value
from sgps.audit._tables import ENTRIES, TERMS

_BATCH = 500

TermsOfEntry = Mapping[str, frozenset[str]]


def matching(query: Select[Any], terms: Mapping[str, str | Collection[str]]) -> Select[Any]:
    """``query`` for entries that carry every one of ``terms``; of several values, one of them."""
    for name, given in terms.items():
        values = [term_value(one) for one in ([given] if isinstance(given, str) else given)]
        carrying = select(TERMS.c.number).where(TERMS.c.name == name, TERMS.c.value.in_(values))
        query = query.where(ENTRIES.c.number.in_(carrying))
    return query


def read_terms(connection: Connection, numbers: Sequence[int]) -> dict[int, TermsOfEntry]:
    """The terms of each of these entries, by name."""
    found: dict[int, dict[str, set[str]]] = {number: {} for number in numbers}
    for number, name, value in _rows(connection, numbers):
        found[number].setdefault(name, set()).add(value)
    return {
        number: {name: frozenset(values) for name, values in terms.items()}
        for number, terms in found.items()
    }


def read_values(connection: Connection, name: str, prefix: str) -> list[str]:
    """The values of a name that begin with ``prefix``, in order."""
    beginning = TERMS.c.value.startswith(prefix, autoescape=True)
    chosen = select(TERMS.c.value).distinct().where(TERMS.c.name == name, beginning)
    return sorted(connection.execute(chosen).scalars())


def forget(connection: Connection, number: int, names: Sequence[str]) -> int:
    """Delete the terms of these names of an entry; how many there were."""
    chosen = delete(TERMS).where(TERMS.c.number == number, TERMS.c.name.in_(names))
    return int(connection.execute(chosen).rowcount)


def _rows(connection: Connection, numbers: Sequence[int]) -> Iterator[tuple[int, str, str]]:
    for start in range(0, len(numbers), _BATCH):
        chosen = select(TERMS).where(TERMS.c.number.in_(numbers[start : start + _BATCH]))
        for row in connection.execute(chosen):
            yield row.number, row.name, row.value
