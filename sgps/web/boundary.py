"""What every request must be and every answer must carry: host, origin, headers, a line of log.

A page elsewhere must not be able to act through a steward's browser (forged requests), nor to read
answers by giving its own name the address of this machine (DNS rebinding).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sgps.service.own_requests import READING_METHODS, is_own_host, is_own_origin, own_names
from sgps.web.refusals import refuse, unexpected

_log = logging.getLogger("sgps.web.access")
_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Boundary:
    """Middleware: refuses a foreign host or origin, adds the security headers, logs.

    Parameters
    ----------
    host: the interface that is listened on, whose name is accepted beside those of this machine
        and beside addresses in digits.
    names: further names that are accepted.
    """

    def __init__(self, app: ASGIApp, host: str, names: Sequence[str] = ()) -> None:
        self._app = app
        self._names = own_names(host, names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or refuse it; see the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        seen = 0

        async def send_guarded(message: Message) -> None:
            nonlocal seen
            if message["type"] == "http.response.start":
                seen = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        try:
            await (refusal or self._app)(scope, receive, send_guarded)
        except Exception as error:
            if seen:
                raise
            await unexpected(error)(scope, receive, send_guarded)
        finally:
            milliseconds = 1_000 * (time.perf_counter() - began)
            path = scope["path"].encode("ascii", "backslashreplace").decode()
            _log.info("%s %r %d %.0f ms", scope["method"], path[:200], seen, milliseconds)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if not is_own_host(headers.get("host", ""), self._names):
            return refuse(
                421,
                "the address bar names another machine",
                expected="the name or the number of this machine",
                remedy="open the page by the address that was printed when it was started;"
                " the operator can allow another name with SGPS_PAGE_NAMES",
            )
        if scope["method"] not in READING_METHODS and not is_own_origin(headers):
            return refuse(
                403,
                "the request comes from another page",
                expected="a request of this page, or of a program that is no browser",
                remedy="open this page and try again there",
            )
        return None
