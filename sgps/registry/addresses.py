"""Addresses of stores as they may be shown, and the secrets in them."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qs, unquote, urlsplit, urlunsplit


def without_password(uri: str) -> str:
    """``uri`` as it may be shown: a user name stays, a password and query options go."""
    parts = urlsplit(uri)
    if not parts.netloc:
        return uri if parts.scheme.startswith("sqlite") else uri.partition("?")[0]
    user = f"{parts.username}@" if parts.username else ""
    port = port_of(parts)
    place = f"{user}{parts.hostname or ''}" + (f":{port}" if port else "")
    return urlunsplit((parts.scheme, place, parts.path, "", ""))


def passwords_in(uri: str) -> tuple[str, ...]:
    """The passwords of an address, before its host and in its options, as written and decoded."""
    parts = urlsplit(uri)
    written = [parts.password] if parts.password else []
    meant = [unquote(one) for one in written] + parse_qs(parts.query).get("password", [])
    return tuple(dict.fromkeys([*written, *meant]))


def port_of(parts: SplitResult) -> int | None:
    """The port of an address; None where there is none that can be read."""
    try:
        return parts.port
    except ValueError:
        return None
