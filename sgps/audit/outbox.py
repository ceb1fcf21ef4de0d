"""The outbox: requests that were accepted, until ledger and registry hold what came of them.

It lies in the ledger's database, so that a request is done in the same transaction in which its
entry is appended. A request is worked on under a lease: when its worker dies, the lease lapses and
another may take it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, insert, or_, select, update

from sgps.audit._chain import LedgerEntry, canonical_json
from sgps.audit._entries import NAME_LENGTH, TEXT_LENGTH, Terms, append_entry, require_text
from sgps.audit._requests import (
    ERASED_REASON,
    OPEN_STATES,
    OutboxRow,
    RequestState,
    entry_of_request,
    erased_key,
    find_one,
    find_required,
    is_free,
    require_content,
    seconds_now,
    to_outbox_row,
    utc_now,
)
from sgps.audit._tables import REQUESTS
from sgps.audit.record_keys import erase_key, keep_key
from sgps.errors import ConflictError, QueueFullError

__all__ = ["Outbox", "OutboxRow", "RequestState", "Transaction"]

Transaction = Callable[..., AbstractContextManager[Connection]]

_ERROR_LENGTH = 2_000
_NOT_DONE = (*OPEN_STATES, RequestState.FAILED)
_KEPT_OF_RECEIPT = (
    "request_id", "model_name", "version", "model_uri", "tracking_uri", "run_id", "seconds",
)  # fmt: skip


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
        request_id: its name from now on (1 to 64 characters).
        limit: requests that may be open at a time.

        Raises
        ------
        ConflictError: the key, or the id, is that of a request with another content.
        QueueFullError: ``limit`` requests are open.
        InputError: the body has no JSON form, or a text a wrong length.
        StoreError: the database cannot be written.
        """
        require_text("idempotency key", key, TEXT_LENGTH)
        require_text("digest of a request", body_digest, NAME_LENGTH)
        require_text("id of a request", request_id, NAME_LENGTH)
        require_text("name of the requester", requester, TEXT_LENGTH, shortest=0)
        require_text("name of the task", task, TEXT_LENGTH, shortest=0)
        now = utc_now()
        row = {
            "request_id": request_id, "key": key, "body_digest": body_digest,
            "state": RequestState.ACCEPTED, "requester": requester, "task": task,
            "body": canonical_json(dict(body)), "attempts": 0, "crashes": 0, "leased_until": 0.0,
            "error": "", "receipt": None, "created": now, "updated": now,
        }  # fmt: skip
        same = or_(REQUESTS.c.key == key, REQUESTS.c.request_id == request_id)
        with self._transaction(writes=True) as connection:
            found = find_one(connection, same)
            if found is not None:
                _require_same_content(found, key, body_digest)
                return found, False
            _require_room(connection, limit)
            connection.execute(insert(REQUESTS).values(row))
            return find_required(connection, request_id), True

    def get(self, request_id: str) -> OutboxRow:
        """The request of that id.

        Raises
        ------
        UnknownNameError: there is none.
        StoreError: the database cannot be read.
        """
        with self._transaction() as connection:
            return find_required(connection, request_id)

    def find_key(self, key: str) -> OutboxRow | None:
        """The request of that key; None where there is none. Raises StoreError."""
        with self._transaction() as connection:
            return find_one(connection, REQUESTS.c.key == key)

    def waiting(self, limit: int = 100) -> list[OutboxRow]:
        """Requests that nobody works on, oldest first. Raises StoreError."""
        query = select(REQUESTS).order_by(REQUESTS.c.created, REQUESTS.c.request_id).limit(limit)
        with self._transaction() as connection:
            rows = connection.execute(query.where(is_free(connection))).all()
        return [to_outbox_row(row) for row in rows]

    def recent(self, limit: int = 100) -> list[OutboxRow]:
        """The newest requests, newest first. Raises StoreError."""
        newest_first = (REQUESTS.c.created.desc(), REQUESTS.c.request_id.desc())
        with self._transaction() as connection:
            rows = connection.execute(select(REQUESTS).order_by(*newest_first).limit(limit)).all()
        return [to_outbox_row(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Number of requests in each state. Raises StoreError."""
        query = select(REQUESTS.c.state, func.count()).group_by(REQUESTS.c.state)
        with self._transaction() as connection:
            found = {row[0]: row[1] for row in connection.execute(query)}
        return {state.value: int(found.get(state.value, 0)) for state in RequestState}

    def claim(self, request_id: str, seconds: float) -> OutboxRow | None:
        """Take a request for ``seconds``; None where it is done, or somebody works on it.

        The row's ``attempts`` names this claim: give it to :meth:`renew`, :meth:`release` and
        :meth:`fail`, and they do nothing once the lease lapsed and another took the request.

        Raises
        ------
        StoreError: the database cannot be written.
        """
        with self._transaction(writes=True) as connection:
            taken = connection.execute(
                update(REQUESTS)
                .where(REQUESTS.c.request_id == request_id, is_free(connection))
                .values(
                    state=RequestState.RUNNING,
                    attempts=REQUESTS.c.attempts + 1,
                    crashes=REQUESTS.c.crashes
                    + case((REQUESTS.c.state == RequestState.RUNNING, 1), else_=0),
                    leased_until=seconds_now(connection) + seconds,
                    updated=utc_now(),
                )
            )
            return find_required(connection, request_id) if taken.rowcount else None

    def renew(self, request_id: str, seconds: float, *, attempt: int | None = None) -> bool:
        """Keep a running request for another ``seconds``; False where it is no longer ours.

        Raises
        ------
        StoreError: the database cannot be written.
        """
        ours = _held(request_id, (RequestState.RUNNING,), attempt)
        with self._transaction(writes=True) as connection:
            until = seconds_now(connection) + seconds
            return _change(connection, ours, leased_until=until)

    def release(
        self, request_id: str, error: str, *, attempt: int | None = None, crashed: bool = False
    ) -> bool:
        """Put a request that is not done back, to be tried again; False where it is not ours.

        With ``attempt``, only the request that this claim still holds. ``crashed``: the work ended
        unexpectedly, which counts; a store that is down does not.

        Raises
        ------
        StoreError: the database cannot be written.
        """
        crashes = REQUESTS.c.crashes + 1 if crashed else 0
        return self._close(request_id, RequestState.ACCEPTED, error, attempt, crashes=crashes)

    def fail(self, request_id: str, error: str, *, attempt: int | None = None) -> bool:
        """Give a request that is not done up, with its key, for good; False where it is not ours.

        With ``attempt``, only the request that this claim still holds.

        Raises
        ------
        StoreError: the database cannot be written.
        """
        return self._close(request_id, RequestState.FAILED, error, attempt)

    def reopen(self, request_id: str) -> bool:
        """Accept a failed request again; False where it did not fail, or its content was erased.

        Raises
        ------
        StoreError: the database cannot be written.
        """
        failed = _held(request_id, (RequestState.FAILED,), None)
        failed &= REQUESTS.c.key != erased_key(request_id)
        with self._transaction(writes=True) as connection:
            return _change(connection, failed, state=RequestState.ACCEPTED, error="", crashes=0)

    def finish(
        self,
        request_id: str,
        receipt: Mapping[str, Any],
        kind: str,
        subject: str,
        record: Mapping[str, Any],
        terms: Terms | None = None,
        *,
        key: bytes | None = None,
    ) -> LedgerEntry:
        """Append the entry and mark the request done, both or neither.

        A request that is done already keeps the entry it has, which is returned. One whose lease
        lapsed, or that was given up in the meantime, is done all the same: its work is there.

        Parameters
        ----------
        key: of the record; kept with the entry, whatever became of it since it was made.

        Raises
        ------
        UnknownNameError: there is no such request.
        ConflictError: its content was erased before it was done.
        InputError: the record or the receipt has no JSON form.
        StoreError: the database cannot be written; then nothing was.
        """
        with self._transaction(writes=True) as connection:
            row = find_required(connection, request_id)
            if row.state == RequestState.DONE:
                return entry_of_request(connection, request_id)
            require_content(row)
            entry = append_entry(connection, kind, subject, record, terms or {})
            if key is not None:
                keep_key(connection, request_id, key)
            _change(
                connection,
                REQUESTS.c.request_id == request_id,
                state=RequestState.DONE,
                leased_until=0.0,
                error="",
                receipt=canonical_json(dict(receipt)),
                entry=entry.number,
            )
        return entry

    def forget_body(self, request_id: str) -> None:
        """Empty a request whose content was erased: body, key, digest, error, what it made.

        One that is not done has failed from now on, for good. Of the receipt the names of request,
        model and version stay, and empty values in place of the rest. Raises StoreError.
        """
        with self._transaction(writes=True, erases=True) as connection:
            row = find_one(connection, REQUESTS.c.request_id == request_id)
            if row is None:
                return
            kept = {
                name: value if name in _KEPT_OF_RECEIPT else type(value)()
                for name, value in (row.receipt or {}).items()
            }
            done = row.state is RequestState.DONE
            _change(
                connection,
                REQUESTS.c.request_id == request_id,
                state=RequestState.DONE if done else RequestState.FAILED,
                leased_until=0.0,
                body="{}",
                key=erased_key(request_id),
                body_digest="",
                error="" if done else ERASED_REASON,
                receipt=canonical_json(kept) if row.receipt is not None else None,
            )

    def _close(
        self,
        request_id: str,
        state: RequestState,
        error: str,
        attempt: int | None,
        **changes: Any,
    ) -> bool:
        states = _NOT_DONE if attempt is None else (RequestState.RUNNING,)
        ours = _held(request_id, states, attempt)
        reason = error.replace("\x00", "").encode("utf-8", "replace").decode()[:_ERROR_LENGTH]
        gives_up = state is RequestState.FAILED
        with self._transaction(writes=True, erases=gives_up) as connection:
            values = {"state": state, "leased_until": 0.0, "error": reason, **changes}
            changed = _change(connection, ours, **values)
            if changed and gives_up:
                erase_key(connection, request_id)
            return changed


def _require_same_content(found: OutboxRow, key: str, body_digest: str) -> None:
    if found.body_digest != body_digest:
        raise ConflictError(
            f"the idempotency key {key!r} belongs to another request",
            expected="the same content as when the key was first used",
            remedy="use a new key for a new request",
        )


def _require_room(connection: Connection, limit: int) -> None:
    open_requests = connection.execute(
        select(func.count()).select_from(REQUESTS).where(REQUESTS.c.state.in_(OPEN_STATES))
    ).scalar_one()
    if open_requests >= limit:
        raise QueueFullError(
            f"{open_requests} requests are waiting",
            expected=f"fewer than {limit}",
            remedy="try again in a moment",
        )


def _held(
    request_id: str, states: tuple[RequestState, ...], attempt: int | None
) -> ColumnElement[bool]:
    held = (REQUESTS.c.request_id == request_id) & REQUESTS.c.state.in_(states)
    return held if attempt is None else held & (REQUESTS.c.attempts == attempt)


def _change(connection: Connection, chosen: ColumnElement[bool], **values: Any) -> bool:
    changed = connection.execute(update(REQUESTS).where(chosen).values(**values, updated=utc_now()))
    return bool(changed.rowcount)
