"""The pages that people see: the steward's page, and the records for whoever may read them."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse

from sgps.registry.states import State
from sgps.service.requests import MAX_SHOTS
from sgps.synthesizer.task import MAX_WAYS, MIN_WAYS
from sgps.web.authentication import AUDITOR, REVIEWER, account_of, require_role
from sgps.web.records import ACTS, MOST_SHOWN, Query, describe_entry, find_records
from sgps.web.rendering import render
from sgps.web.services import services_of

LINES_AT_FIRST = 50
_MOST_QUEUED = 20

EntryNumber = Annotated[int, PathParameter(ge=1, le=2**31 - 1)]

router = APIRouter(include_in_schema=False)


@router.get("/")
def show_page(request: Request) -> HTMLResponse:
    """The steward's page."""
    settings = services_of(request).settings
    account = account_of(request)
    return render(
        request,
        "steward.html.j2",
        requester=account.name if account else settings.requester or "",
        most_bytes=settings.max_image_bytes,
        most_characters=settings.max_text_characters,
        ways=(MIN_WAYS, MAX_WAYS),
        most_pictures=MAX_SHOTS,
    )


@router.get("/audit")
def show_records(
    request: Request,
    requester: str = "",
    task: str = "",
    state: str = "",
    kind: str = "",
    model: str = "",
    lines: int = LINES_AT_FIRST,
) -> HTMLResponse:
    """Ledger entries, newest first; requests that wait; whether the chain is sound."""
    require_role(request, AUDITOR, REVIEWER)
    services = services_of(request)
    ledger = services.worker.workspace.ledger
    query = Query(requester.strip(), task.strip(), state, model.strip(), kind)
    shown = min(max(lines, 1), MOST_SHOWN)
    found = find_records(ledger, query, limit=shown)
    return render(
        request,
        "audit.html.j2",
        query=query,
        acts=ACTS,
        states=[(one.value, one.words) for one in State],
        found=found,
        more=min(2 * shown, MOST_SHOWN) if len(found) == shown < MOST_SHOWN else 0,
        chain=services.chain.verify(ledger),
        queue=ledger.outbox.recent(_MOST_QUEUED),
        counts=ledger.outbox.counts(),
    )


@router.get("/audit/{number}")
def show_record(request: Request, number: EntryNumber) -> HTMLResponse:
    """One ledger entry with its whole record."""
    require_role(request, AUDITOR, REVIEWER)
    services = services_of(request)
    ledger = services.worker.workspace.ledger
    entry = ledger.get(number)
    return render(
        request,
        "record.html.j2",
        entry=entry,
        line=describe_entry(entry),
        record=json.dumps(entry.record, indent=2, ensure_ascii=False),
        chain=services.chain.verify(ledger),
    )
