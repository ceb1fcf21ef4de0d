"""Requests as the outbox's table holds them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Row,
    and_,
    cast,
    extract,
    func,
    literal,
    or_,
    select,
)

from sgps.audit._chain import LedgerEntry, StoredRow
from sgps.audit._tables import ENTRIES, REQUESTS
from sgps.errors import ConflictError, UnknownNameError


class RequestState(StrEnum):
    """How far a request is."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


OPEN_STATES = (RequestState.ACCEPTED, RequestState.RUNNING)
ERASED_REASON = "its content was erased"


@dataclass(frozen=True)
class OutboxRow:
    """One request: its key and content digest, how far it is, and what came of it.

    ``body`` is the request as it was accepted; ``receipt`` is there once it is done; ``error`` says
    in one line why it failed, or why it waits for another try. ``attempts`` counts the claims, and
    so names the one that holds the request; ``crashes`` counts those that ended unexpectedly one
    after the other. Times are UTC in ISO 8601.
    """

    request_id: str
    key: str
    body_digest: str
    state: RequestState
    requester: str
    task: str
    body: dict[str, Any]
    attempts: int
    crashes: int
    error: str
    receipt: dict[str, Any] | None
    created: str
    updated: str

    @property
    def is_erased(self) -> bool:
        """Whether its content was erased: it is never worked on again."""
        return self.key == erased_key(self.request_id)


def erased_key(request_id: str) -> str:
    """The key of a request whose content was erased."""
    return f"erased:{request_id}"


def require_content(row: OutboxRow) -> None:
    """Raise ConflictError where the content of a request was erased."""
    if row.is_erased:
        raise ConflictError(
            f"request {row.request_id}: {ERASED_REASON}", remedy="send the request again"
        )


def seconds_now(connection: Connection) -> ColumnElement[float]:
    """Seconds since 1970 by the one clock that every user of this database shares.

    PostgreSQL is asked for its own: the clocks of the machines that reach it may differ.
    """
    if connection.dialect.name == "postgresql":
        return cast(extract("epoch", func.clock_timestamp()), Float(53))
    return literal(time.time(), Float(53))


def is_free(connection: Connection) -> ColumnElement[bool]:
    """Accepted, or running under a lease that lapsed."""
    lapsed = and_(
        REQUESTS.c.state == RequestState.RUNNING,
        REQUESTS.c.leased_until < seconds_now(connection),
    )
    return or_(REQUESTS.c.state == RequestState.ACCEPTED, lapsed)


def find_one(connection: Connection, condition: ColumnElement[bool]) -> OutboxRow | None:
    """The request that fits; None where none does."""
    found = connection.execute(select(REQUESTS).where(condition)).first()
    return to_outbox_row(found) if found is not None else None


def find_required(connection: Connection, request_id: str) -> OutboxRow:
    """The request of that id. Raises UnknownNameError."""
    found = find_one(connection, REQUESTS.c.request_id == request_id)
    if found is None:
        raise UnknownNameError(f"there is no request {request_id}")
    return found


def entry_of_request(connection: Connection, request_id: str) -> LedgerEntry:
    """The entry that a done request has."""
    number = select(REQUESTS.c.entry).where(REQUESTS.c.request_id == request_id).scalar_subquery()
    row = connection.execute(select(ENTRIES).where(ENTRIES.c.number == number)).one()
    return LedgerEntry.from_row(StoredRow(*row))


def to_outbox_row(found: Row[Any]) -> OutboxRow:
    """A row of the table, with its JSON read."""
    values = dict(found._mapping)
    return OutboxRow(
        **{
            name: values[name]
            for name in (
                "request_id",
                "key",
                "body_digest",
                "requester",
                "task",
                "attempts",
                "crashes",
            )
        },
        state=RequestState(values["state"]),
        body=json.loads(values["body"]),
        error=values["error"],
        receipt=json.loads(values["receipt"]) if values["receipt"] else None,
        created=values["created"],
        updated=values["updated"],
    )


def utc_now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
