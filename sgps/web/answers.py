"""How far a request is, as ``/api/requests`` answers it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import JSONResponse

from sgps.audit import LedgerEntry, RequestState
from sgps.errors import StoreError
from sgps.service.exactly_once import Submission
from sgps.service.influence import recorded_influence
from sgps.service.synthesis import LEDGER_KIND
from sgps.web.permissions import reads_entry
from sgps.web.remarks import remarks_of
from sgps.web.services import Services

ENDED = (RequestState.DONE, RequestState.FAILED)

_log = logging.getLogger("sgps.web")


def answer_of(request: Request, services: Services, submission: Submission) -> JSONResponse:
    """201 with the receipt, 202 while it is pending, 422 with the reason where it failed."""
    request_id = submission.request_id
    content: dict[str, Any] = {
        "request_id": request_id,
        "task": _task(request_id, services),
        "state": submission.state if submission.state in ENDED else "pending",
        "steps": services.worker.steps(request_id),
    }
    if submission.state is RequestState.DONE and submission.receipt is not None:
        receipt = submission.receipt
        content |= {"receipt": receipt, "mlflow": mlflow_link(request, services, receipt)}
        content |= _recorded(request, services, request_id)
        return JSONResponse(content, status_code=201)
    if submission.state is RequestState.FAILED:
        error = {"what": submission.error or "it failed", "expected": "", "remedy": ""}
        return JSONResponse(content | {"error": error}, status_code=422)
    content["waiting_for"] = submission.error
    return JSONResponse(content, status_code=202)


def mlflow_link(request: Request, services: Services, receipt: Mapping[str, Any]) -> str:
    """Where MLflow shows the version of a receipt."""
    address = str(receipt.get("tracking_uri", ""))
    if not address.startswith(("http://", "https://")):
        host = request.url.hostname or "127.0.0.1"
        host = f"[{host}]" if ":" in host else host
        address = f"http://{host}:{services.settings.mlflow_port}"
    name, version = quote(str(receipt["model_name"])), quote(str(receipt["version"]))
    return f"{address.rstrip('/')}/#/models/{name}/versions/{version}"


def _recorded(request: Request, services: Services, request_id: str) -> dict[str, Any]:
    """What the record tells; nothing where it cannot be read, for the receipt stands without it.

    influence: what the images do. remarks: what the checks found; None where there is no record.
    record: address of the record, "" for whoever may not read it.
    """
    found: dict[str, Any] = {"influence": [], "remarks": None, "record": ""}
    workspace = services.worker.workspace
    try:
        entry = _entry(request_id, services)
        if entry is not None:
            found["remarks"] = remarks_of(entry, workspace.ledger)
            if reads_entry(request, entry, workspace.ledger):
                found["record"] = f"/audit/{entry.number}"
        found["influence"] = recorded_influence(request_id, workspace)
    except StoreError as error:
        _log.warning("%s", error)
    return found


def _task(request_id: str, services: Services) -> str:
    try:
        return services.worker.workspace.ledger.outbox.get(request_id).task
    except StoreError as error:
        _log.warning("%s", error)
        return ""


def _entry(request_id: str, services: Services) -> LedgerEntry | None:
    ledger = services.worker.workspace.ledger
    entries = ledger.find(request_id=request_id)
    return next((entry for entry in entries if entry.kind == LEDGER_KIND), None)
