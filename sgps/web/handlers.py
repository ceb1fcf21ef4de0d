"""What an application answers when something goes wrong: JSON to programs, a page to people."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from sgps.errors import SgpsError
from sgps.web.refusals import error_of, refusal_of, refuse, unexpected
from sgps.web.rendering import render

_log = logging.getLogger("sgps.web")
_OF_PROGRAMS = ("/api/", "/static/")
_PLAIN = {
    404: ("there is nothing at this address", "correct it, or begin at the first page"),
    405: ("this address does not take that method", ""),
}


def add_handlers(app: FastAPI) -> None:
    """Answer every error of ``app`` in one form."""
    for kind, answer in (
        (SgpsError, _known),
        (RequestValidationError, _malformed),
        (HTTPException, _unrouted),
    ):
        app.add_exception_handler(kind, _for_reader(answer))


def _for_reader(
    answer: Callable[[Exception], JSONResponse],
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """The same answer as a page, where a person reads it."""

    async def handle(request: Request, error: Exception) -> Response:
        refusal = answer(error)
        if request.url.path.startswith(_OF_PROGRAMS):
            return refusal
        page = render(request, "error.html.j2", error=error_of(refusal))
        page.status_code = refusal.status_code
        return page

    return handle


def _known(error: Exception) -> JSONResponse:
    if not isinstance(error, SgpsError):
        return unexpected(error)
    refusal = refusal_of(error)
    if refusal.status_code >= 500:
        _log.warning("%s", error)
    return refusal


def _malformed(_error: Exception) -> JSONResponse:
    return refuse(422, "the address has a wrong form", remedy="correct it")


def _unrouted(error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        return unexpected(error)
    what, remedy = _PLAIN.get(error.status_code, (str(error.detail), ""))
    return refuse(error.status_code, what, remedy=remedy, headers=dict(error.headers or {}))
