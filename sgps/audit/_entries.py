"""Appending to the chain inside a write transaction of the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from sgps.audit._chain import (
    FIRST_PREVIOUS_DIGEST,
    LedgerEntry,
    StoredRow,
    canonical_json,
    entry_digest,
)
from sgps.audit._tables import ENTRIES, TERMS
from sgps.errors import InputError

Terms = Mapping[str, str | Sequence[str]]

NAME_LENGTH = 64
TEXT_LENGTH = 255


def append_entry(
    connection: Connection, kind: str, subject: str, record: Mapping[str, Any], terms: Terms
) -> LedgerEntry:
    """Add the next entry and its terms.

    Raises
    ------
    InputError: the record has no JSON form, kind or subject has a wrong length, or a text holds
        a character that a database cannot keep.
    """
    require_text("kind of a ledger entry", kind, NAME_LENGTH)
    require_text("subject of a ledger entry", subject, TEXT_LENGTH)
    pairs = _pairs(terms)
    row = _next_row(connection, kind, subject, canonical_json(dict(record)))
    connection.execute(insert(ENTRIES).values(vars(row)))
    if pairs:
        rows = [{"number": row.number, "name": n, "value": v} for n, v in sorted(pairs)]
        connection.execute(insert(TERMS), rows)
    return LedgerEntry.from_row(row)


def require_text(field: str, value: str, longest: int, *, shortest: int = 1) -> None:
    """Refuse what a column of both databases cannot hold.

    Raises
    ------
    InputError: a wrong length, a NUL, or a lone surrogate.
    """
    if not shortest <= len(value) <= longest:
        raise InputError(
            f"the {field} has {len(value)} characters",
            expected=f"{shortest} to {longest} characters",
        )
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"the {field} holds a character that cannot be stored")


def term_value(value: str) -> str:
    """The part of a term's value that is kept and compared."""
    return value[:TEXT_LENGTH]


def _pairs(terms: Terms) -> set[tuple[str, str]]:
    pairs = {
        (name, term_value(value))
        for name, values in terms.items()
        for value in ([values] if isinstance(values, str) else values)
    }
    for name, value in pairs:
        require_text("name of a term", name, NAME_LENGTH)
        require_text(f"term {name}", value, TEXT_LENGTH, shortest=0)
    return pairs


def _next_row(connection: Connection, kind: str, subject: str, record: str) -> StoredRow:
    newest = select(ENTRIES.c.number, ENTRIES.c.digest).order_by(ENTRIES.c.number.desc()).limit(1)
    last = connection.execute(newest).first()
    number, previous = (last.number + 1, last.digest) if last else (1, FIRST_PREVIOUS_DIGEST)
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    digest = entry_digest(number, time, kind, subject, record, previous)
    return StoredRow(number, time, kind, subject, record, previous, digest)
