"""Which HTTP requests are meant for this machine, and come from a page of its own.

A page elsewhere must not be able to act through somebody's browser (forged requests), nor to read
answers by giving its own name the address of this machine (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping

READING_METHODS = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")
_OWN_SITES = ("same-origin", "none")


def own_names(host: str, others: Iterable[str] = ()) -> frozenset[str]:
    """Names of a server that listens on ``host``: its own, this machine's, and ``others``."""
    return frozenset(
        name.lower() for name in ("localhost", host, socket.gethostname(), *others) if name
    )


def is_own_host(header: str, names: frozenset[str]) -> bool:
    """Whether a ``Host`` header is one of ``names``, or an address in digits."""
    host = _HOST.fullmatch(header)
    if host is None:
        return False
    name = host[1].lower()
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name in names
    return True


def is_own_origin(headers: Mapping[str, str]) -> bool:
    """Whether a request comes from a page of the same server, or from no browser at all.

    ``headers`` by names in small letters, or by any where the mapping ignores case.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site not in _OWN_SITES:
        return False
    return origin is None or origin.partition("://")[2] == headers.get("host")


def is_other_name(headers: Mapping[str, str], names: frozenset[str]) -> bool:
    """Whether a request comes from a page of the same server, opened under another of its names.

    Only that server can have such an origin: its name leads to this machine, its port is the same.
    """
    origin = _HOST.fullmatch(headers.get("origin", "").removeprefix("http://"))
    host = _HOST.fullmatch(headers.get("host", ""))
    if origin is None or host is None or origin[2] != host[2]:
        return False
    name = origin[1].lower()
    return name in names or name in ("127.0.0.1", "[::1]")
