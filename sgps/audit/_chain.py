"""The hash chain of the ledger: each entry's digest covers the digest of the one before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sgps.errors import InputError, IntegrityError

FIRST_PREVIOUS_DIGEST = "0" * 64


@dataclass(frozen=True)
class StoredRow:
    """One entry as its columns hold it; ``record`` is canonical JSON text."""

    number: int
    time: str
    kind: str
    subject: str
    record: str
    previous_digest: str
    digest: str


@dataclass(frozen=True)
class LedgerEntry:
    """One act.

    ``number`` counts from 1 without gaps; ``time`` is UTC in ISO 8601; ``digest`` is the sha256
    over every other field, and ``previous_digest`` that of entry ``number - 1`` (64 zeros for the
    first).
    """

    number: int
    time: str
    kind: str
    subject: str
    record: dict[str, Any]
    previous_digest: str
    digest: str

    @classmethod
    def from_row(cls, row: StoredRow) -> LedgerEntry:
        """The entry of a row. Raises IntegrityError where its record is no JSON object."""
        try:
            record = json.loads(row.record)
        except (TypeError, ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise IntegrityError(
                f"ledger entry {row.number} was altered: its record cannot be read",
                expected="the record as it was written",
                remedy="run: sgps audit verify",
            )
        return cls(
            number=row.number,
            time=row.time,
            kind=row.kind,
            subject=row.subject,
            record=record,
            previous_digest=row.previous_digest,
            digest=row.digest,
        )


@dataclass(frozen=True)
class Verification:
    """Outcome of a walk along the chain.

    ``entries`` were found sound before the first bad one; ``first_bad`` is its number (None where
    all are sound), ``reason`` says in one line what is wrong with it, and ``head`` is the digest of
    the last sound entry.
    """

    entries: int
    head: str
    first_bad: int | None = None
    reason: str = ""

    @property
    def passed(self) -> bool:
        return self.first_bad is None


def canonical_json(value: Any) -> str:
    """JSON text that is the same for equal values: sorted keys, no spaces, no NaN.

    Raises
    ------
    InputError: the value has no JSON form (a NaN, an object, a lone surrogate).
    """
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        text.encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"the record has no JSON form: {error}") from error
    return text


def entry_digest(
    number: int, time: str, kind: str, subject: str, record: str, previous_digest: str
) -> str:
    """sha256 (64 hex digits) over the fields of one entry; ``record`` is its canonical text."""
    text = canonical_json([number, time, kind, subject, record, previous_digest])
    return hashlib.sha256(text.encode()).hexdigest()


def verify_rows(rows: Iterable[StoredRow]) -> Verification:
    """Walk ``rows``, in the order of their numbers, and stop at the first bad one."""
    count, head = 0, FIRST_PREVIOUS_DIGEST
    for row in rows:
        reason = _fault(row, expected_number=count + 1, head=head)
        if reason:
            return Verification(count, head, first_bad=count + 1, reason=reason)
        count, head = row.number, row.digest
    return Verification(count, head)


def _fault(row: StoredRow, *, expected_number: int, head: str) -> str:
    if row.number < expected_number:
        return f"an entry numbered {row.number} stands where entry {expected_number} belongs"
    if row.number != expected_number:
        return f"entry {expected_number} is missing (the next one is {row.number})"
    if row.previous_digest != head:
        return f"entry {row.number} does not follow from the entry before it"
    fields = (row.number, row.time, row.kind, row.subject, row.record, row.previous_digest)
    try:
        matches = entry_digest(*fields) == row.digest
    except InputError:  # a field is not even text
        matches = False
    return (
        "" if matches else f"entry {row.number} was altered: its digest does not match its fields"
    )
