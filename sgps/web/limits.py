"""Request bodies of bounded size and duration, read piece by piece."""

from __future__ import annotations

import asyncio
import json
import tempfile
from typing import IO, Any

from starlette.requests import ClientDisconnect, Request

from sgps.errors import InputError, RequestError, TooLargeError

MAX_JSON_BYTES = 1_000_000
_KEPT_IN_MEMORY = 1_000_000
_SECONDS_BETWEEN_PIECES = 30.0
_SECONDS_IN_ALL = 600.0


async def read_json(request: Request, limit: int) -> dict[str, Any]:
    """The body as a JSON object of at most ``limit`` bytes.

    Raises
    ------
    TooLargeError: it is larger. RequestError: it is no JSON object. InputError: it came too slowly.
    """
    with await read_body(request, min(limit, MAX_JSON_BYTES), what="the request") as file:
        data = file.read()
    try:
        content = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError("the body is no JSON", expected="a JSON object in UTF-8") from error
    if not isinstance(content, dict):
        raise RequestError("the body is no JSON object", expected="names with values")
    return content


async def read_body(request: Request, limit: int, *, what: str) -> IO[bytes]:
    """The body in a temporary file, open at its beginning; the caller closes it.

    Raises
    ------
    TooLargeError: it has more than ``limit`` bytes. InputError: it stopped coming, or is cut off.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and len(announced) < 20 and int(announced) > limit:
        raise _too_large(what, limit)
    file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY)  # noqa: SIM115
    try:
        async with asyncio.timeout(_SECONDS_IN_ALL):
            await _fill(request, file, limit, what)
    except (TimeoutError, ClientDisconnect) as error:
        file.close()
        raise InputError(f"{what} did not arrive", remedy="send it again") from error
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


async def _fill(request: Request, file: IO[bytes], limit: int, what: str) -> None:
    pieces = request.stream()
    size = 0
    while True:
        try:
            piece = await asyncio.wait_for(anext(pieces), _SECONDS_BETWEEN_PIECES)
        except StopAsyncIteration:
            return
        size += len(piece)
        if size > limit:
            raise _too_large(what, limit)
        file.write(piece)


def _too_large(what: str, limit: int) -> TooLargeError:
    return TooLargeError(
        f"{what} is too large", expected=f"at most {limit:,} bytes", remedy="send less"
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
