"""``/api/models/NAME/VERSION/review``: where a version stands, and the acts of its review."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from sgps.errors import RequestError
from sgps.service import review
from sgps.service.identity import BASIC, UNAUTHENTICATED
from sgps.service.standing import Standing, standing_of
from sgps.service.workspace import Workspace
from sgps.web.authentication import REVIEWER, STEWARD, Account, account_of, require_role
from sgps.web.limits import read_json
from sgps.web.models_api import model_uri
from sgps.web.openapi import REVIEW
from sgps.web.permissions import require_entry
from sgps.web.review_acts import APPROVE, ARCHIVE, LEADS_TO, REJECT, SUBMIT, describe_review
from sgps.web.services import services_of

router = APIRouter(prefix="/api/models/{name}/{version}/review")

MAX_BYTES = 20_000
_STEPS: Mapping[str, Callable[..., review.ReviewState]] = {
    SUBMIT: review.submit_for_review,
    APPROVE: review.approve,
    REJECT: review.reject,
    ARCHIVE: review.archive,
}


@router.get("")
def show(request: Request, name: str, version: str) -> JSONResponse:
    """State, history and the acts that are open to who asks; a steward reads their own alone."""
    standing = _standing(request, model_uri(name, version))
    return JSONResponse(describe_review(request, standing))


@router.post("", openapi_extra=REVIEW)
async def act(request: Request, name: str, version: str) -> JSONResponse:
    """Take one step, and answer as :func:`show`; ``act``: submit, approve, reject or archive.

    Reviewers do everything, but never decide on a request of their own; stewards submit what they
    asked for themselves. ``reason`` is needed to decide. The record holds the account, its role
    and "basic". Where nobody signs in, ``reviewer`` names who acts, and the record says that the
    name was not proved.

    403: the account may not do that. 422: a field is wrong, the state does not allow it, the
    request is one's own, or somebody else was quicker. 409: the version is not as recorded. 503:
    a store does not answer; the error says so where the step was recorded nevertheless.
    """
    require_role(request, STEWARD, REVIEWER)
    uri = model_uri(name, version)
    fields = await read_json(request, MAX_BYTES)
    account = account_of(request)
    chosen, who = _parse(fields, account)
    if chosen != SUBMIT:
        require_role(request, REVIEWER)

    def take() -> Standing:
        standing = _standing(request, uri)
        return replace(standing, review=_STEPS[chosen](uri, _workspace(request), **who))

    threads = services_of(request).trying
    standing = await asyncio.get_running_loop().run_in_executor(threads, take)
    return JSONResponse(describe_review(request, standing))


def _standing(request: Request, uri: str) -> Standing:
    """Where a version stands, if who asks may read its record.

    Raises
    ------
    NotAllowedError: they may not.
    UnknownNameError, StoreError: as :func:`sgps.service.standing.standing_of`.
    """
    workspace = _workspace(request)
    standing = standing_of(uri, workspace)
    require_entry(request, workspace.ledger.get(standing.entry), workspace.ledger)
    return standing


def _parse(fields: Mapping[str, Any], account: Account | None) -> tuple[str, dict[str, str]]:
    """The act, and who takes it and why, as the steps of a review want it. Raises RequestError."""
    names = ("act", "reason") if account else ("act", "reason", "reviewer")
    for name, value in fields.items():
        if name not in names or not isinstance(value, str):
            raise RequestError(
                f"{name[:40]}: " + ("not text" if name in names else "not known"),
                expected=f"text in {', '.join(names)}",
                remedy="who acts is the account that is signed in" if name == "reviewer" else "",
            )
    chosen = fields.get("act", "")
    if chosen not in LEADS_TO:
        raise RequestError("act: missing or not known", expected=" or ".join(LEADS_TO))
    reason = fields.get("reason", "")
    if account is None:
        who = fields.get("reviewer", "")
        return chosen, {"reviewer": who, "reason": reason, "authentication": UNAUTHENTICATED}
    proof = {"role": account.role, "authentication": BASIC}
    return chosen, {"reviewer": account.name, "reason": reason, **proof}


def _workspace(request: Request) -> Workspace:
    return services_of(request).worker.workspace
