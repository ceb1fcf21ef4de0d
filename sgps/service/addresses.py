"""Addresses of servers: as they listen, as this machine reaches them, and as people open them."""

from __future__ import annotations

import socket
from collections.abc import Sequence

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_ANY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
_DRIVERS = {"mlflow": "postgresql+psycopg", "prefect": "postgresql+asyncpg"}


def near_host(host: str) -> str:
    """How this machine reaches a server that listens on ``host``."""
    return _ANY_INTERFACE.get(host, f"[{host}]" if ":" in host else host)


def prefect_api(host: str, port: int) -> str:
    """The API of a Prefect server that listens on ``host``, for clients on this machine."""
    return f"http://{near_host(host)}:{port}/api"


def open_address(host: str, port: int) -> str:
    """What a browser opens; this machine's name where a server listens everywhere."""
    shown = socket.gethostname() if host in _ANY_INTERFACE else near_host(host)
    return f"http://{shown}:{port}"


def host_headers(host: str, port: int, others: Sequence[str] = ()) -> tuple[str, ...]:
    """The ``Host`` headers that a server answers to; further ones may be a DNS rebinding attack.

    ``others`` are names that people use, with this port or, through a proxy, without one.
    """
    names = ["localhost", "127.0.0.1", near_host(host)]
    if host not in LOOPBACK:
        names.append(socket.gethostname())
    if host in _ANY_INTERFACE:
        names += ["10.*", "192.168.*", *(f"172.{number}.*" for number in range(16, 32))]
    numbered = [name if "*" in name else f"{name}:{port}" for name in (*names, *others)]
    return tuple(dict.fromkeys([*numbered, *others]))


def origins(host: str, port: int, others: Sequence[str] = ()) -> tuple[str, ...]:
    """The pages that may call a server from a browser: its own.

    ``others`` are names that people use, also through a proxy with TLS.
    """
    plain = [f"http://{name}" for name in host_headers(host, port, others) if "*" not in name]
    return (*plain, *(f"https://{name}" for name in others))


def with_driver(url: str, server: str) -> str:
    """A PostgreSQL address with the driver that is installed for ``mlflow`` or ``prefect``."""
    scheme, separator, rest = url.partition("://")
    if scheme.split("+")[0] not in ("postgresql", "postgres"):
        return url
    return f"{_DRIVERS[server]}{separator}{rest}"
