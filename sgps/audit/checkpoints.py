"""Checkpoints: what a ledger held at a moment, kept where its database cannot be reached.

A chain from which the newest entries were cut off is still a sound chain. Only somebody who wrote
down how far it went can tell; a checkpoint is that note.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, select

from sgps.audit._chain import FIRST_PREVIOUS_DIGEST, StoredRow, Verification, verify_rows
from sgps.audit._tables import ENTRIES
from sgps.errors import InputError
from sgps.files import write_whole

FORMAT = "sgps-checkpoint-1"
_DIGEST_LENGTH = 64
_LONGEST_FILE = 10_000


@dataclass(frozen=True)
class Checkpoint:
    """The newest entry of a ledger at ``time`` (UTC, ISO 8601).

    ``number`` is 0, and ``digest`` 64 zeros, where there was no entry. ``ledger_id`` is the digest
    of the first entry, by which ledgers are told apart (64 zeros where there was none).
    """

    number: int
    digest: str
    time: str
    ledger_id: str


def take_checkpoint(connection: Connection) -> Checkpoint:
    """How far the ledger goes now."""
    columns = select(ENTRIES.c.number, ENTRIES.c.digest).limit(1)
    newest = connection.execute(columns.order_by(ENTRIES.c.number.desc())).first()
    oldest = connection.execute(columns.order_by(ENTRIES.c.number)).first()
    number, digest = newest or (0, FIRST_PREVIOUS_DIGEST)
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Checkpoint(number, digest, time, oldest.digest if oldest else FIRST_PREVIOUS_DIGEST)


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> Path:
    """Write a checkpoint as a JSON file for its owner alone, whole or not at all; return ``path``.

    Raises
    ------
    StoreError: the file cannot be written.
    """
    text = json.dumps({"format": FORMAT, **asdict(checkpoint)}, indent=2) + "\n"
    write_whole(path, text, private=True)
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file that :func:`write_checkpoint` made.

    Raises
    ------
    InputError: the file is not there, cannot be read, or is no checkpoint.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_FILE)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        values = None
    checkpoint = _checkpoint(values)
    if checkpoint is None:
        raise InputError(
            f"{path}: is no checkpoint of a ledger",
            expected="a JSON file that SGPS wrote as a checkpoint",
        )
    return checkpoint


def verify_against(rows: Iterable[StoredRow], checkpoint: Checkpoint | None) -> Verification:
    """Walk ``rows``, then compare with what the checkpoint saw.

    A bad entry is named first; then another history (the entry has another digest), then a
    truncation (the ledger ends before the entry).
    """
    if checkpoint is None:
        return verify_rows(rows)
    seen = _Seen(checkpoint.number)
    outcome = verify_rows(seen.watch(rows))
    if not outcome.passed:
        return outcome
    reason, first_bad = _difference(outcome, checkpoint, seen)
    if not reason:
        return outcome
    return Verification(outcome.entries, outcome.head, first_bad=first_bad, reason=reason)


class _Seen:
    """Digests of the first entry and of entry ``number``, noted in passing."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.first = self.digest = FIRST_PREVIOUS_DIGEST

    def watch(self, rows: Iterable[StoredRow]) -> Iterator[StoredRow]:
        for row in rows:
            if row.number == 1:
                self.first = row.digest
            if row.number == self._number:
                self.digest = row.digest
            yield row


def _difference(outcome: Verification, checkpoint: Checkpoint, seen: _Seen) -> tuple[str, int]:
    """What is wrong, in one line ("" for nothing), and the number of the entry it begins at."""
    if checkpoint.number and outcome.entries and seen.first != checkpoint.ledger_id:
        return f"the checkpoint of {checkpoint.time} is of a ledger that began otherwise", 1
    if outcome.entries < checkpoint.number:
        missing = outcome.entries + 1
        return (
            f"the ledger was cut off: it ends at entry {outcome.entries}, and the checkpoint of"
            f" {checkpoint.time} saw entry {checkpoint.number}"
        ), missing
    if seen.digest != checkpoint.digest:
        return (
            f"the history was rewritten: entry {checkpoint.number} is not the one that the"
            f" checkpoint of {checkpoint.time} saw"
        ), checkpoint.number
    return "", 0


def _checkpoint(values: object) -> Checkpoint | None:
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        return None
    if set(values) != set(Checkpoint.__dataclass_fields__):
        return None
    number, digests = values["number"], (values["digest"], values["ledger_id"])
    if type(number) is not int or number < 0 or not isinstance(values["time"], str):
        return None
    if not all(_is_digest(digest) for digest in digests):
        return None
    return Checkpoint(**values)


def _is_digest(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) == _DIGEST_LENGTH
        and set(value) <= set("0123456789abcdef")
    )
