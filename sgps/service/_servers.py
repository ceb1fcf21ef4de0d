"""What one server needs: its command, its address, and how to find out whether it answers."""

from __future__ import annotations

import errno
import json
import socket
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path

from sgps.errors import InputError

_SECONDS = 3.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Health:
    """A request that succeeds when the server works; no proxy is asked.

    Parameters
    ----------
    url: what to get; empty: the server works as long as it lives.
    headers: of the request.
    fresh_field: a field of the JSON answer with a time, which must be later than the start.
    """

    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    fresh_field: str = ""

    def answers(self, since: datetime | None = None) -> bool:
        """Whether the server works now, ``since`` being when it was started."""
        if not self.url:
            return True
        request = urllib.request.Request(self.url, headers=dict(self.headers))
        try:
            with _OPENER.open(request, timeout=_SECONDS) as answer:
                content = answer.read()
                good: bool = answer.status == 200
        except (OSError, HTTPException):
            return False
        return good and (since is None or not self.fresh_field or self._is_fresh(content, since))

    def _is_fresh(self, content: bytes, since: datetime) -> bool:
        try:
            text = json.loads(content)[self.fresh_field]
            return datetime.fromisoformat(text).astimezone(UTC) >= since
        except (ValueError, KeyError, TypeError):
            return False


@dataclass(frozen=True)
class Port:
    """Where a server listens, and the setting that says so."""

    host: str
    number: int
    setting: str


@dataclass(frozen=True)
class Server:
    """One server of the system.

    Parameters
    ----------
    name: of its log file.
    title: for people.
    command: without any secret, since every user of the machine can read it.
    environment: all of it.
    folder: its working folder, which is made.
    address: what to open; empty for a server without a page.
    health: how to find out whether it works.
    port: where it listens; None for one that does not.
    after: names of the servers that have to work before it is started.
    restarts: whether it is started again when it ends by itself; otherwise that ends all servers.
    secrets: words that must not be shown.
    prepare, complete: called before each start, and once it works after it.
    """

    name: str
    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    address: str = ""
    health: Health = Health()
    port: Port | None = None
    after: tuple[str, ...] = ()
    restarts: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)
    prepare: Callable[[], None] | None = field(default=None, repr=False)
    complete: Callable[[], None] | None = field(default=None, repr=False)


def require_free_ports(servers: tuple[Server, ...]) -> None:
    """See that every server can listen where it should.

    Raises
    ------
    InputError: two servers want the same port, or something else listens on one.
    """
    taken: dict[int, Port] = {}
    for server in servers:
        port = server.port
        if port is None:
            continue
        if port.number in taken:
            raise InputError(
                f"{taken[port.number].setting} and {port.setting} are both {port.number}",
                expected="a port for each server",
                remedy=f"set {port.setting} to another port",
            )
        taken[port.number] = port
        _require_free(server, port)


def _require_free(server: Server, port: Port) -> None:
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((port.host, port.number))
        except OSError as error:
            raise _port_error(server, port, error) from error


def _port_error(server: Server, port: Port, error: OSError) -> InputError:
    if error.errno == errno.EADDRINUSE:
        return InputError(
            f"port {port.number} of {port.host} is in use by another program",
            expected=f"a free port for {server.title}",
            remedy=f"stop that program, or set {port.setting} to another port",
        )
    if error.errno == errno.EACCES:
        return InputError(
            f"port {port.number} may not be used by this account",
            expected=f"a port above 1023 for {server.title}",
            remedy=f"set {port.setting} to another port",
        )
    return InputError(
        f"{server.title} cannot listen on {port.host}: {error.strerror or error}",
        expected="an address of this machine",
        remedy="correct SGPS_PAGE_HOST",
    )
