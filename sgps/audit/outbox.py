"""The outbox: requests that were accepted, until ledger and registry hold what came of them.

It lies in the ledger's database, so that a request is done in the same transaction in which its
entry is appended. A request is worked on under a lease: when its worker dies, the lease lapses and
another may take it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, insert, or_, select, update

from sgps.audit._chain import LedgerEntry, StoredRow, canonical_json
from sgps.audit._entries import Terms, append_entry
from sgps.audit._tables import ENTRIES, REQUESTS
from sgps.errors import ConflictError, InputError, QueueFullError, UnknownNameError

Transaction = Callable[..., AbstractContextManager[Connection]]

_KEY_LENGTH = 255
_ERROR_LENGTH = 2_000


class RequestState(StrEnum):
    """How far a request is."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


_OPEN = (RequestState.ACCEPTED, RequestState.RUNNING)


@dataclass(frozen=True)
class OutboxRow:
    """One request: its key and content digest, how far it is, and what came of it.

    ``body`` is the request as it was accepted; ``receipt`` is there once it is done; ``error`` says
    in one line why it failed, or why it waits for another try. Times are UTC in ISO 8601.
    """

    request_id: str
    key: str
    body_digest: str
    state: RequestState
    requester: str
    task: str
    body: dict[str, Any]
    attempts: int
    error: str
    receipt: dict[str, Any] | None
    created: str
    updated: str


class Outbox:
    """The requests, in the ledger's database; made by :attr:`sgps.audit.Ledger.outbox`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def accept(
        self,
        key: str,
        body_digest: str,
        body: Mapping[str, Any],
        *,
        requester: str,
        task: str,
        request_id: str,
        limit: int,
    ) -> tuple[OutboxRow, bool]:
        """Accept a request once: the row, and whether it is new.

        Parameters
        ----------
        key: the same for the same request (1 to 255 characters).
        body_digest: of everything that decides what comes out (64 hex digits).
        limit: requests that may be open at a time.

        Raises
        ------
        ConflictError: the key is that of a request with another content.
        QueueFullError: ``limit`` requests are open.
        InputError: the body has no JSON form, or the key a wrong length.
        StoreError: the database cannot be written.
        """
        if not 1 <= len(key) <= _KEY_LENGTH:
            raise InputError(
                f"the idempotency key has {len(key)} characters",
                expected=f"1 to {_KEY_LENGTH} characters",
            )
        text = canonical_json(dict(body))
        with self._transaction(writes=True) as connection:
            found = _one(connection, REQUESTS.c.key == key)
            if found is not None:
                if found.body_digest != body_digest:
                    raise ConflictError(
                        f"the idempotency key {key!r} belongs to another request",
                        expected="the same content as when the key was first used",
                        remedy="use a new key for a new request",
                    )
                return found, False
            waiting = connection.execute(
                select(func.count()).select_from(REQUESTS).where(REQUESTS.c.state.in_(_OPEN))
            ).scalar_one()
            if waiting >= limit:
                raise QueueFullError(
                    f"{waiting} requests are waiting",
                    expected=f"fewer than {limit}",
                    remedy="try again in a moment",
                )
            now = _now()
            connection.execute(
                insert(REQUESTS).values(
                    request_id=request_id, key=key, body_digest=body_digest,
                    state=RequestState.ACCEPTED, requester=requester, task=task, body=text,
                    attempts=0, leased_until=0.0, error="", receipt=None, created=now, updated=now,
                )
            )  # fmt: skip
            return _required(connection, request_id), True

    def get(self, request_id: str) -> OutboxRow:
        """The request of that id.

        Raises
        ------
        UnknownNameError: there is none.
        StoreError: the database cannot be read.
        """
        with self._transaction() as connection:
            return _required(connection, request_id)

    def find_key(self, key: str) -> OutboxRow | None:
        """The request of that key; None where there is none. Raises StoreError."""
        with self._transaction() as connection:
            return _one(connection, REQUESTS.c.key == key)

    def waiting(self, limit: int = 100) -> list[OutboxRow]:
        """Requests that nobody works on, oldest first. Raises StoreError."""
        return self._select(_is_free(), newest_first=False, limit=limit)

    def recent(self, limit: int = 100) -> list[OutboxRow]:
        """The newest requests, newest first. Raises StoreError."""
        return self._select(None, newest_first=True, limit=limit)

    def counts(self) -> dict[str, int]:
        """Number of requests in each state. Raises StoreError."""
        query = select(REQUESTS.c.state, func.count()).group_by(REQUESTS.c.state)
        with self._transaction() as connection:
            found = {row[0]: row[1] for row in connection.execute(query)}
        return {state.value: int(found.get(state.value, 0)) for state in RequestState}

    def claim(self, request_id: str, seconds: float) -> OutboxRow | None:
        """Take a request for ``seconds``; None where it is done, or somebody works on it.

        Raises
        ------
        StoreError: the database cannot be written.
        """
        with self._transaction(writes=True) as connection:
            taken = connection.execute(
                update(REQUESTS)
                .where(REQUESTS.c.request_id == request_id, _is_free())
                .values(
                    state=RequestState.RUNNING,
                    attempts=REQUESTS.c.attempts + 1,
                    leased_until=time.time() + seconds,
                    updated=_now(),
                )
            )
            return _required(connection, request_id) if taken.rowcount else None

    def renew(self, request_id: str, seconds: float) -> None:
        """Keep a request that one works on for another ``seconds``. Raises StoreError."""
        self._update(request_id, leased_until=time.time() + seconds)

    def release(self, request_id: str, error: str) -> None:
        """Put a request back, to be tried again. Raises StoreError."""
        self._update(
            request_id, state=RequestState.ACCEPTED, leased_until=0.0, error=error[:_ERROR_LENGTH]
        )

    def fail(self, request_id: str, error: str) -> None:
        """Give a request up: it will not be tried again. Raises StoreError."""
        self._update(
            request_id, state=RequestState.FAILED, leased_until=0.0, error=error[:_ERROR_LENGTH]
        )

    def finish(
        self,
        request_id: str,
        receipt: Mapping[str, Any],
        kind: str,
        subject: str,
        record: Mapping[str, Any],
        terms: Terms | None = None,
    ) -> LedgerEntry:
        """Append the entry and mark the request done, both or neither.

        A request that is done already keeps the entry it has, which is returned.

        Raises
        ------
        UnknownNameError: there is no such request.
        InputError: the record has no JSON form.
        StoreError: the database cannot be written; then nothing was.
        """
        with self._transaction(writes=True) as connection:
            row = _required(connection, request_id)
            if row.state == RequestState.DONE:
                return _entry_of_request(connection, request_id)
            entry = append_entry(connection, kind, subject, record, terms or {})
            connection.execute(
                update(REQUESTS)
                .where(REQUESTS.c.request_id == request_id)
                .values(
                    state=RequestState.DONE,
                    leased_until=0.0,
                    error="",
                    receipt=canonical_json(dict(receipt)),
                    entry=entry.number,
                    updated=_now(),
                )
            )
        return entry

    def forget_body(self, request_id: str) -> None:
        """Empty body, key and digest of a request whose content was erased. Raises StoreError."""
        self._update(request_id, body="{}", key=f"erased:{request_id}", body_digest="")

    def _update(self, request_id: str, **values: Any) -> None:
        statement = update(REQUESTS).where(
            REQUESTS.c.request_id == request_id, REQUESTS.c.state != RequestState.DONE
        )
        if "body" in values:
            statement = update(REQUESTS).where(REQUESTS.c.request_id == request_id)
        with self._transaction(writes=True) as connection:
            connection.execute(statement.values(**values, updated=_now()))

    def _select(
        self, condition: ColumnElement[bool] | None, *, newest_first: bool, limit: int
    ) -> list[OutboxRow]:
        query = select(REQUESTS)
        if condition is not None:
            query = query.where(condition)
        order = (REQUESTS.c.created, REQUESTS.c.request_id)
        query = query.order_by(*(column.desc() for column in order) if newest_first else order)
        with self._transaction() as connection:
            return [_row(found) for found in connection.execute(query.limit(limit)).all()]


def _is_free() -> ColumnElement[bool]:
    lapsed = and_(REQUESTS.c.state == RequestState.RUNNING, REQUESTS.c.leased_until < time.time())
    return or_(REQUESTS.c.state == RequestState.ACCEPTED, lapsed)


def _one(connection: Connection, condition: ColumnElement[bool]) -> OutboxRow | None:
    found = connection.execute(select(REQUESTS).where(condition)).first()
    return _row(found) if found is not None else None


def _required(connection: Connection, request_id: str) -> OutboxRow:
    found = _one(connection, REQUESTS.c.request_id == request_id)
    if found is None:
        raise UnknownNameError(
            f"there is no request {request_id}", remedy="see the newest ones with: sgps requests"
        )
    return found


def _entry_of_request(connection: Connection, request_id: str) -> LedgerEntry:
    number = select(REQUESTS.c.entry).where(REQUESTS.c.request_id == request_id).scalar_subquery()
    row = connection.execute(select(ENTRIES).where(ENTRIES.c.number == number)).one()
    return LedgerEntry.from_row(StoredRow(*row))


def _row(found: Row[Any]) -> OutboxRow:
    values = dict(found._mapping)
    return OutboxRow(
        **{
            name: values[name]
            for name in ("request_id", "key", "body_digest", "requester", "task", "attempts")
        },
        state=RequestState(values["state"]),
        body=json.loads(values["body"]),
        error=values["error"],
        receipt=json.loads(values["receipt"]) if values["receipt"] else None,
        created=values["created"],
        updated=values["updated"],
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
