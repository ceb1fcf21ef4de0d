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

_KIND_LENGTH = 64
_SUBJECT_LENGTH = 255


def append_entry(
    connection: Connection, kind: str, subject: str, record: Mapping[str, Any], terms: Terms
) -> LedgerEntry:
    """Add the next entry and its terms.

    Raises
    ------
    InputError: the record has no JSON form, or kind or subject has a wrong length.
    """
    _require_length("kind", kind, _KIND_LENGTH)
    _require_length("subject", subject, _SUBJECT_LENGTH)
    row = _next_row(connection, kind, subject, canonical_json(dict(record)))
    connection.execute(insert(ENTRIES).values(vars(row)))
    pairs = {
        (name, value[:255])
        for name, values in terms.items()
        for value in ([values] if isinstance(values, str) else values)
    }
    if pairs:
        rows = [{"number": row.number, "name": n, "value": v} for n, v in sorted(pairs)]
        connection.execute(insert(TERMS), rows)
    return LedgerEntry.from_row(row)


def _next_row(connection: Connection, kind: str, subject: str, record: str) -> StoredRow:
    newest = select(ENTRIES.c.number, ENTRIES.c.digest).order_by(ENTRIES.c.number.desc()).limit(1)
    last = connection.execute(newest).first()
    number, previous = (last.number + 1, last.digest) if last else (1, FIRST_PREVIOUS_DIGEST)
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    digest = entry_digest(number, time, kind, subject, record, previous)
    return StoredRow(number, time, kind, subject, record, previous, digest)


def _require_length(field: str, value: str, longest: int) -> None:
    if not 1 <= len(value) <= longest:
        raise InputError(
            f"{field} of a ledger entry has {len(value)} characters",
            expected=f"1 to {longest} characters",
        )
