"""What goes wrong, as an HTTP status and ``{"error": {"what", "expected", "remedy"}}``."""

from __future__ import annotations

import json
import logging

from starlette.responses import JSONResponse

from sgps.errors import (
    ConflictError,
    InputError,
    IntegrityError,
    OperatorError,
    QueueFullError,
    SgpsError,
    StoreError,
    TooLargeError,
    UnknownNameError,
    UserError,
)

RETRY_SECONDS = 5

_log = logging.getLogger("sgps.web")

_STATUS: tuple[tuple[type[SgpsError], int], ...] = (
    (TooLargeError, 413),
    (ConflictError, 422),
    (InputError, 422),
    (UnknownNameError, 404),
    (QueueFullError, 429),
    (IntegrityError, 409),
    (StoreError, 503),
    (UserError, 400),
    (OperatorError, 500),
)


class NotAllowedError(UserError):
    """Who asks may not do that."""


def refuse(
    status: int,
    what: str,
    *,
    expected: str = "",
    remedy: str = "",
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The answer to a request that is turned away; lone surrogates in it become "?"."""
    told = {"what": what, "expected": expected, "remedy": remedy}
    error = {name: text.encode("utf-8", "replace").decode() for name, text in told.items()}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def status_of(error: SgpsError) -> int:
    """The HTTP status that says best what ``error`` says."""
    if isinstance(error, NotAllowedError):
        return 403
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def refusal_of(error: SgpsError) -> JSONResponse:
    """``error`` as an answer; 429 and 503 say when to try again."""
    status = status_of(error)
    headers = {"Retry-After": str(RETRY_SECONDS)} if status in (429, 503) else None
    if not isinstance(error, UserError):
        return refuse(status, str(error), headers=headers)
    return refuse(status, error.what, expected=error.expected, remedy=error.remedy, headers=headers)


def unexpected(error: Exception) -> JSONResponse:
    """The answer where nobody foresaw ``error``, which is logged."""
    _log.error("unexpected error", exc_info=error)
    return refuse(
        500,
        "something went wrong here, and it is not your fault",
        remedy="try again; if it happens again, tell the operator when it happened",
    )


def error_of(refusal: JSONResponse) -> dict[str, str]:
    """What, expected and remedy of an answer that :func:`refuse` made."""
    error: dict[str, str] = json.loads(bytes(refusal.body))["error"]
    return error
