"""The requests in the outbox, as people are shown them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sgps.audit import Ledger, OutboxRow, RequestState
from sgps.errors import InputError
from sgps.settings import Settings

_MOST = 10_000


@dataclass(frozen=True)
class QueuedRequest:
    """How far one request is; ``model_uri`` is "" until it is done. Times: UTC, ISO 8601."""

    request_id: str
    state: str
    requester: str
    task: str
    created: str
    updated: str
    attempts: int
    error: str
    model_uri: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def list_requests(
    settings: Settings, *, state: str | None = None, limit: int = 50
) -> list[QueuedRequest]:
    """Requests, newest first; with ``state`` only those in it.

    Raises
    ------
    InputError: there is no such state.
    StoreError: the ledger cannot be read.
    """
    known = [one.value for one in RequestState]
    if state is not None and state not in known:
        raise InputError(f"state {state!r}", expected=f"one of {', '.join(known)}")
    with Ledger.open(settings.resolved_ledger_url.get_secret_value()) as ledger:
        rows = ledger.outbox.recent(_MOST if state else limit)
    chosen = [row for row in rows if state is None or row.state == state]
    return [_shown(row) for row in chosen[:limit]]


def _shown(row: OutboxRow) -> QueuedRequest:
    return QueuedRequest(
        request_id=row.request_id,
        state=str(row.state),
        requester=row.requester,
        task=row.task,
        created=row.created,
        updated=row.updated,
        attempts=row.attempts,
        error=row.error,
        model_uri=str((row.receipt or {}).get("model_uri", "")),
    )
