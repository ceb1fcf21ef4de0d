"""Files over HTTP: from named hosts only, resumed where they broke off, checked before they count.

A file grows as ``<name>.part`` and takes its name when its size and digest are right, so a file
under its own name is whole.
"""

from __future__ import annotations

import hashlib
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from sgps.errors import InputError, IntegrityError, StoreError
from sgps.files import cannot_write

_LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
_MAX_REDIRECTS = 5
_MAX_JSON_BYTES = 50_000_000
_LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Expected:
    """What a file has to be: size in bytes and digests in hex, each None where not known."""

    size: int | None = None
    sha256: str | None = None
    md5: str | None = None


class _TryAgainError(Exception):
    """What a later attempt may not meet again: a broken connection, a busy server."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        self.wait = wait
        super().__init__(reason)


class Downloader:
    """Downloads from ``hosts`` alone, in as many threads as there are.

    hosts: names, or ``*.name`` for everything below a name. Anything but HTTPS is refused except
    on this machine. attempts: tries of one file. pause: seconds before the second try, doubled
    each time. timeout: seconds without a byte.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        attempts: int = 5,
        pause: float = 1.0,
        timeout: float = 60.0,
    ) -> None:
        self.hosts = tuple(hosts)
        self.attempts = attempts
        self.pause = pause
        self.timeout = timeout
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def get_json(self, url: str) -> dict[str, Any]:
        """The JSON object at ``url``.

        Raises
        ------
        InputError: a host that is not allowed, or an answer that is no JSON object.
        StoreError: the server cannot be reached or refuses.
        """
        for attempt in range(self.attempts):
            try:
                return self._read_json(url)
            except _TryAgainError as reason:
                self._wait_or_give_up(url, attempt, reason)
        raise AssertionError("unreachable")

    def download(self, url: str, path: Path, expected: Expected, *, max_bytes: int) -> str:
        """Bring ``url`` to ``path`` and return its SHA-256 in hex.

        Raises
        ------
        InputError: a host that is not allowed, or more than ``max_bytes``.
        IntegrityError: at every attempt the bytes are not the ones expected.
        StoreError: the server cannot be reached, or the file cannot be written.
        """
        part = path.with_name(f"{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for attempt in range(self.attempts):
                try:
                    self._fetch(url, part, expected.size, max_bytes)
                    digest = self._check(url, part, expected, attempt)
                except _TryAgainError as reason:
                    self._wait_or_give_up(url, attempt, reason)
                else:
                    part.replace(path)
                    return digest
        except OSError as error:
            raise cannot_write(path, error) from error
        raise AssertionError("unreachable")

    def _read_json(self, url: str) -> dict[str, Any]:
        with self._open(url, {}) as response:
            data = bytearray()
            for piece in _pieces(response):
                data += piece
                if len(data) > _MAX_JSON_BYTES:
                    raise InputError(f"{url}: an answer of over {_MAX_JSON_BYTES:,} bytes")
        try:
            values = httpx.Response(200, content=bytes(data)).json()
        except ValueError as error:
            raise InputError(f"{url}: the answer is not JSON", expected="a JSON object") from error
        if not isinstance(values, dict):
            raise InputError(f"{url}: the answer is a list", expected="a JSON object")
        return values

    def _fetch(self, url: str, part: Path, size: int | None, max_bytes: int) -> None:
        have = part.stat().st_size if part.exists() else 0
        if have and have == size:
            return
        if size is not None and have > size:
            have = 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with self._open(url, headers) as response:
            resumed = _resumes_at(response, have)
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink()
                raise _TryAgainError("the part downloaded before does not fit")
            received = have if resumed else 0
            with part.open("ab" if resumed else "wb") as file:
                for piece in _pieces(response):
                    received += len(piece)
                    if received > max_bytes:
                        break
                    file.write(piece)
        if received > max_bytes:
            part.unlink()
            raise InputError(f"{url}: too large", expected=f"at most {max_bytes:,} bytes")

    def _check(self, url: str, part: Path, expected: Expected, attempt: int) -> str:
        size = part.stat().st_size
        problem = ""
        if expected.size is not None and size != expected.size:
            problem = f"{size:,} bytes instead of {expected.size:,}"
        for kind, wanted in (("sha256", expected.sha256), ("md5", expected.md5)):
            if wanted and not problem and _digest(part, kind) != wanted.lower():
                problem = f"the {kind} is not {wanted}"
        if not problem:
            return _digest(part, "sha256")
        part.unlink()
        if attempt + 1 < self.attempts:
            raise _TryAgainError(problem)
        raise IntegrityError(
            f"{url}: {problem}",
            expected="the bytes that were announced",
            remedy="try later; if it stays so, the file was changed where it comes from",
        )

    @contextmanager
    def _open(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Yield the answer to a GET after redirects, each of them to an allowed host."""
        request_headers = {"Accept-Encoding": "identity", **headers}
        try:
            for _ in range(_MAX_REDIRECTS):
                self._check_host(url)
                with self._connected().stream("GET", url, headers=request_headers) as response:
                    if response.next_request is None:
                        _check_status(url, response)
                        yield response
                        return
                    url = urljoin(url, response.headers["Location"])
        except httpx.TransportError as error:
            raise _TryAgainError(f"{type(error).__name__}: {error}") from error
        except httpx.InvalidURL as error:
            raise InputError(f"{url[:200]}: not an address ({error})") from error
        raise InputError(f"{url}: more than {_MAX_REDIRECTS} redirects")

    def _connected(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(timeout=self.timeout, follow_redirects=False)
                weakref.finalize(self, self._client.close)
            return self._client

    def _check_host(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        allowed = any(
            host.endswith(known[1:]) if known.startswith("*.") else host == known
            for known in self.hosts
        )
        secure = parts.scheme == "https" or (parts.scheme == "http" and host in _LOCAL_HOSTS)
        if not (allowed and secure) or parts.username:
            raise InputError(
                f"{url[:200]}: not a place to download from",
                expected=f"https at {' or '.join(self.hosts)}",
            )

    def _wait_or_give_up(self, url: str, attempt: int, reason: _TryAgainError) -> None:
        if attempt + 1 >= self.attempts:
            raise StoreError(
                f"{url}: cannot be downloaded ({reason})",
                remedy="check the network and run it again; it goes on where it stopped",
            ) from reason
        time.sleep(min(_LONGEST_WAIT, max(reason.wait, self.pause * 2**attempt)))


def _pieces(response: httpx.Response) -> Iterator[bytes]:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise InputError(f"{response.url}: encoded as {encoding}", expected="plain bytes")
    return response.iter_raw()


def _check_status(url: str, response: httpx.Response) -> None:
    status = response.status_code
    if status in (200, 206, httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE):
        return
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= 500:
        wait = response.headers.get("Retry-After", "")
        raise _TryAgainError(f"HTTP {status}", float(wait) if wait.isdigit() else 0.0)
    raise StoreError(
        f"{url}: HTTP {status} {response.reason_phrase}",
        expected="a file that may be downloaded",
        remedy="check the name and your rights there",
    )


def _resumes_at(response: httpx.Response, offset: int) -> bool:
    content_range = str(response.headers.get("Content-Range", ""))
    return response.status_code == 206 and content_range.startswith(f"bytes {offset}-")


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
