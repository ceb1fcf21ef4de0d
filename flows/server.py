"""The Prefect server, closed to pages of other sites.

Prefect answers every host name and lets every origin read and write: a page on the internet could
start flows, and code, through the browser of whoever runs the server. ``python -m flows.server
--host 127.0.0.1 --port 4200`` serves the same application behind a check of both.
"""

from __future__ import annotations

import argparse

import uvicorn
from prefect.server.api.server import create_app
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from sgps.service.own_requests import (
    READING_METHODS,
    is_other_name,
    is_own_host,
    is_own_origin,
    own_names,
)

_POLICY_VIOLATION = 1008


class OwnRequests:
    """Middleware: 421 for a host name that is not ours, 403 for a change that another page asks.

    Parameters
    ----------
    names: accepted beside addresses in digits.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or refuse it; see the class."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = None
        if not is_own_host(headers.get("host", ""), self._names):
            refusal = 421, "the address names another machine"
        elif not (
            scope.get("method") in READING_METHODS
            or is_own_origin(headers)
            or is_other_name(headers, self._names)
        ):
            refusal = 403, "the request comes from another page"
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(_POLICY_VIOLATION, refusal[1])(scope, receive, send)
        else:
            await PlainTextResponse(refusal[1], status_code=refusal[0])(scope, receive, send)


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; Prefect's own settings come from the environment."""
    parser = argparse.ArgumentParser("flows.server", description="Serve Prefect's UI and API.")
    parser.add_argument("--host", default="127.0.0.1", help="interface to listen on")
    parser.add_argument("--port", type=int, default=4200, help="port to listen on")
    parser.add_argument("--name", action="append", default=[], help="further name of this machine")
    chosen = parser.parse_args(arguments)
    guarded = OwnRequests(create_app(final=True), own_names(chosen.host, chosen.name))
    uvicorn.run(guarded, host=chosen.host, port=chosen.port, log_level="warning")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
