"""``/api/requests``: ask for a classifier, and ask how far it is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from sgps.audit import RequestState
from sgps.errors import RequestError, UnknownNameError
from sgps.service.exactly_once import Submission
from sgps.service.identity import RequesterIdentity
from sgps.service.requests import SynthesisRequest
from sgps.service.support import ImageOrigin
from sgps.web.answers import ENDED, answer_of
from sgps.web.authentication import REVIEWER, STEWARD, account_of, require_role
from sgps.web.limits import read_json
from sgps.web.openapi import ASK
from sgps.web.services import Services, services_of

router = APIRouter(prefix="/api/requests")

_log = logging.getLogger("sgps.web")
_POLL_SECONDS = 0.1
NO_WAIT = "respond-async"


@router.post("", status_code=201, openapi_extra=ASK)
async def ask(request: Request) -> JSONResponse:
    """Ask for a classifier of images that were dropped before.

    201 with the receipt, what the checks found and what each image does to the classifier (see
    :func:`sgps.service.influence.recorded_influence`), where it is done within the wait; 202 with
    the id otherwise, and at once where the header ``Prefer: respond-async`` asks for it. The same
    request, or the same ``Idempotency-Key`` header with the same content, gives the same answer;
    the same key with another content is refused (422). 413: too large; 429: too many wait.
    """
    require_role(request, STEWARD, REVIEWER)
    services = services_of(request)
    fields = await read_json(request, services.settings.max_request_bytes)
    identity = _identity(request, fields)
    asked, origins = parse_request(fields | {"requester": identity.name}, services)
    key = request.headers.get("idempotency-key")
    loop = asyncio.get_running_loop()
    submission = await loop.run_in_executor(
        services.decoding,
        lambda: services.worker.submit(asked, key=key, identity=identity, origins=origins),
    )
    if _wants_no_wait(request) and submission.state not in ENDED:
        services.worker.enqueue(submission.request_id)
        answer = await asyncio.to_thread(answer_of, request, services, submission)
        answer.headers["Preference-Applied"] = NO_WAIT
        return answer
    settled = await _settle(submission, services)
    return await asyncio.to_thread(answer_of, request, services, settled)


@router.get("/{request_id}")
def follow(request: Request, request_id: str) -> JSONResponse:
    """How far a request is: its state and the steps so far; once it is done, as :func:`ask`."""
    require_role(request, STEWARD, REVIEWER)
    services = services_of(request)
    submission = services.worker.status(request_id)
    if submission.state not in ENDED:
        services.worker.enqueue(request_id)
    answer = answer_of(request, services, submission)
    answer.status_code = 200
    return answer


def _wants_no_wait(request: Request) -> bool:
    """Whether a ``Prefer`` header (RFC 7240) asks for an answer before the work is done."""
    asked = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return any(each.partition(";")[0].strip() == NO_WAIT for each in asked)


async def _settle(submission: Submission, services: Services) -> Submission:
    """How far an accepted request is when it is done, when it has to wait, or when time is up."""
    if submission.state in ENDED:
        return submission
    deadline = time.monotonic() + services.wait
    running = asyncio.wrap_future(services.worker.enqueue(submission.request_id))
    done, _ = await asyncio.wait({running}, timeout=services.wait)
    try:
        if done:
            found = running.result()
        else:
            found = await asyncio.to_thread(services.worker.status, submission.request_id)
        while found.state is RequestState.RUNNING and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
            found = await asyncio.to_thread(services.worker.status, submission.request_id)
    except Exception:
        _log.warning("request %s is accepted, and will be tried again", submission.request_id)
        return submission
    return found


def parse_request(
    fields: Mapping[str, Any], services: Services
) -> tuple[SynthesisRequest, dict[str, ImageOrigin]]:
    """A request whose images are ids of uploads, as one whose images are files.

    Beside it, by the names of these files, what they were when they were sent.

    Raises
    ------
    RequestError: a field is wrong, or an image is not there any more.
    """
    classes = fields.get("classes")
    if not isinstance(classes, list):
        raise RequestError("classes: not a list", expected="a list of classes")
    origins: dict[str, ImageOrigin] = {}
    found = [
        _class(item, f"classes[{number}]", services, origins) for number, item in enumerate(classes)
    ]
    request = SynthesisRequest.parse({**fields, "classes": found}, folder=services.uploads.folder)
    return request, origins


def _class(item: object, field: str, services: Services, origins: dict[str, ImageOrigin]) -> object:
    if not isinstance(item, dict) or not isinstance(item.get("images"), list):
        return item
    for place, image in enumerate(item["images"]):
        try:
            upload = services.uploads.get(image if isinstance(image, str) else "")
        except UnknownNameError as error:
            raise RequestError(
                f"{field}.images[{place}]: {error.what}", remedy=error.remedy
            ) from error
        if upload.origin is not None:
            origins[upload.file_name] = upload.origin
    return {**item, "images": [f"{image}.png" for image in item["images"]]}


def _identity(request: Request, fields: Mapping[str, Any]) -> RequesterIdentity:
    account = account_of(request)
    if account is not None:
        return RequesterIdentity(account.name, role=account.role, authentication="basic")
    name = fields.get("requester")
    if not isinstance(name, str):
        raise RequestError("requester: missing", expected="text", remedy="say who asks")
    return RequesterIdentity(name.strip(), authentication="none")
