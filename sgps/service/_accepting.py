"""Accepting a request: its images on disk, a row in the outbox, under a key that is its own."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sgps.audit import OutboxRow, RequestState
from sgps.errors import ConflictError, RequestError
from sgps.service._spool import Spool, SpooledRequest
from sgps.service.workspace import Workspace

MAX_KEY = 255
"""Characters of a caller's idempotency key."""

_CONTENT_KEY, _CALLERS_KEY = "content", "caller"


def accept(spooled: SpooledRequest, workspace: Workspace) -> tuple[OutboxRow, bool]:
    """Keep a request until it is done; its row, and whether it is a new one.

    One that failed before is accepted anew; one that was erased just now is a new one.

    Raises
    ------
    RequestError: the caller's key is empty or too long.
    ConflictError: the key belongs to a request with another content.
    QueueFullError: too many requests wait.
    StoreError: ledger or spool cannot be written; then nothing was accepted.
    """
    while True:
        row, created = _accept_once(spooled, workspace)
        if not row.is_erased:
            return row, created


def _accept_once(spooled: SpooledRequest, workspace: Workspace) -> tuple[OutboxRow, bool]:
    outbox = workspace.ledger.outbox
    key = _outbox_key(spooled)
    found = outbox.find_key(key)
    if found is not None and _is_answer(found, spooled):
        return found, False
    spool = Spool(workspace.settings.home_folder)
    with spool.writing():
        spool.write(spooled)
        try:
            row, created = outbox.accept(
                key,
                spooled.content_sha256,
                _body(spooled, spool),
                requester=spooled.request.requester,
                task=spooled.request.task,
                request_id=spooled.request_id,
                limit=workspace.settings.max_queue,
            )
            if not created and row.state is RequestState.FAILED:
                spool.adopt(spooled.request_id, row.request_id)
                outbox.reopen(row.request_id)
                row = outbox.get(row.request_id)
                if row.is_erased:
                    spool.remove(row.request_id)
        except ConflictError as error:
            spool.remove(spooled.request_id)
            raise _conflict(spooled, error) from error
        except BaseException:
            spool.remove(spooled.request_id)
            raise
        if not created:
            spool.remove(spooled.request_id)
    return row, created


def _outbox_key(spooled: SpooledRequest) -> str:
    """What makes two requests the same one; a caller's key is one of that requester alone."""
    if spooled.key is None:
        return f"{_CONTENT_KEY}:{spooled.content_sha256}"
    if not 1 <= len(spooled.key) <= MAX_KEY:
        raise RequestError(
            f"idempotency key: {len(spooled.key)} characters",
            expected=f"1 to {MAX_KEY}",
            remedy="choose another one, or none",
        )
    own = json.dumps([spooled.request.requester, spooled.key])
    return f"{_CALLERS_KEY}:{hashlib.sha256(own.encode()).hexdigest()}"


def _conflict(spooled: SpooledRequest, error: ConflictError) -> ConflictError:
    """The same error in terms of the key that the caller gave."""
    if spooled.key is None:
        return error
    return ConflictError(
        f"the idempotency key {spooled.key!r} belongs to another request of"
        f" {spooled.request.requester}",
        expected=error.expected,
        remedy=error.remedy,
    )


def _is_answer(found: OutboxRow, spooled: SpooledRequest) -> bool:
    """Whether the request is there already; one that failed, or has another content, is not."""
    same = found.body_digest == spooled.content_sha256
    return same and found.state is not RequestState.FAILED


def _body(spooled: SpooledRequest, spool: Spool) -> dict[str, Any]:
    """What the outbox keeps of a request: where the rest is, and nothing that names its content."""
    return {
        "spool": spool.owner,
        "generator": spooled.generator,
        "classes": len(spooled.request.classes),
        "images": sum(len(images) for images in spooled.support.images),
    }
