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
from sgps.web.authentication import account_of
from sgps.web.facts import facts_of
from sgps.web.permissions import require_entry, require_reader
from sgps.web.records import (
    ACTS,
    MOST_SHOWN,
    OWN_KINDS,
    Query,
    describe_entry,
    find_records,
    newest_requests,
)
from sgps.web.rendering import render
from sgps.web.review_acts import review_of_entry
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
    generator: str = "",
    image: str = "",
    lines: int = LINES_AT_FIRST,
) -> HTMLResponse:
    """Ledger entries, newest first; requests that wait; whether the chain is sound.

    A steward sees his own requests, and the reviews of what came of them.
    """
    own = require_reader(request) or ""
    services = services_of(request)
    ledger = services.worker.workspace.ledger
    query = Query(
        requester="" if own else requester.strip(),
        task=task.strip(),
        state=state,
        model=model.strip(),
        kind=kind,
        generator="" if own else generator.strip(),
        image="" if own else image.strip(),
        account=own,
    )
    shown = min(max(lines, 1), MOST_SHOWN)
    found = find_records(ledger, query, limit=shown)
    return render(
        request,
        "audit.html.j2",
        query=query,
        acts={name: ACTS[name] for name in OWN_KINDS} if own else ACTS,
        states=[(one.value, one.words) for one in State],
        found=found,
        more=min(2 * shown, MOST_SHOWN) if len(found) == shown < MOST_SHOWN else 0,
        chain=services.chain.verify(ledger),
        queue=newest_requests(ledger, account=own, limit=_MOST_QUEUED),
        counts={} if own else ledger.outbox.counts(),
    )


@router.get("/audit/{number}")
def show_record(request: Request, number: EntryNumber) -> HTMLResponse:
    """One ledger entry: its main facts, and its whole record folded."""
    own = require_reader(request)
    services = services_of(request)
    ledger = services.worker.workspace.ledger
    entry = ledger.get(number)
    require_entry(request, entry, ledger)
    return render(
        request,
        "record.html.j2",
        entry=entry,
        line=describe_entry(entry, ledger),
        facts=facts_of(entry),
        review=review_of_entry(request, entry, ledger),
        neighbours=own is None,
        record=json.dumps(entry.record, indent=2, ensure_ascii=False),
        chain=services.chain.verify(ledger),
    )
