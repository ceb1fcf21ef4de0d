"""Who asks: accounts of the settings, HTTP basic authentication, roles."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Self

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from sgps.errors import InputError
from sgps.settings import Settings
from sgps.web.refusals import NotAllowedError, refuse

STEWARD, REVIEWER, AUDITOR = "steward", "reviewer", "auditor"
ROLES = (STEWARD, REVIEWER, AUDITOR)
_OPEN_PATHS = ("/api/health",)
_FORM = "USER:PASSWORD:ROLE, separated by commas"


@dataclass(frozen=True)
class Account:
    """Somebody who signed in."""

    name: str
    role: str


class Accounts:
    """The accounts of the settings; passwords are kept as digests only.

    Parameters
    ----------
    digests: by account, the sha256 of ``user:password``.
    """

    def __init__(self, digests: dict[Account, bytes]) -> None:
        self._digests = digests

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """The accounts of ``settings.basic_auth``; None where nobody signs in.

        Raises
        ------
        InputError: an account has a wrong form or an unknown role, or a name is there twice.
        """
        if settings.basic_auth is None:
            return None
        digests: dict[Account, bytes] = {}
        for number, text in enumerate(settings.basic_auth.get_secret_value().split(","), start=1):
            name, colon, rest = text.strip().partition(":")
            password, _, role = rest.partition(":")
            role = role or STEWARD
            if not (name and colon and password) or role not in ROLES:
                raise InputError(
                    f"SGPS_BASIC_AUTH: account {number} has a wrong form",
                    expected=f"{_FORM}; roles: {', '.join(ROLES)}",
                    remedy="correct SGPS_BASIC_AUTH",
                )
            if any(account.name == name for account in digests):
                raise InputError(
                    f"SGPS_BASIC_AUTH: account {number} has the name of another",
                    expected="one account a name",
                    remedy="correct SGPS_BASIC_AUTH",
                )
            digests[Account(name, role)] = _digest(f"{name}:{password}".encode())
        return cls(digests)

    def find(self, authorization: str) -> Account | None:
        """The account of an Authorization header; takes as long whether there is one or not."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = _digest(base64.b64decode(encoded.strip(), validate=True))
        except (binascii.Error, ValueError):
            return None
        found = None
        for account, digest in self._digests.items():
            if hmac.compare_digest(given, digest):
                found = account
        return found if scheme.lower() == "basic" else None


class Authentication:
    """Middleware: lets nobody in without an account, where there are accounts."""

    def __init__(self, app: ASGIApp, accounts: Accounts | None) -> None:
        self._app = app
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer 401."""
        if scope["type"] != "http" or self._accounts is None or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        account = self._accounts.find(Headers(scope=scope).get("authorization", ""))
        if account is None:
            refusal = refuse(
                401,
                "you are not signed in",
                expected="a name and a password",
                remedy="sign in, or ask the operator for an account",
                headers={"WWW-Authenticate": 'Basic realm="SGPS", charset="UTF-8"'},
            )
            await refusal(scope, receive, send)
            return
        scope.setdefault("state", {})["account"] = account
        await self._app(scope, receive, send)


def account_of(request: Request) -> Account | None:
    """Who signed in; None where nobody has to."""
    found = getattr(request.state, "account", None)
    return found if isinstance(found, Account) else None


def require_role(request: Request, *roles: str) -> Account | None:
    """Who signed in, if their role is one of ``roles``; None where nobody has to.

    Raises
    ------
    NotAllowedError: the role is another.
    """
    account = account_of(request)
    if account is not None and account.role not in roles:
        raise NotAllowedError(
            f"{account.name} is signed in as {account.role}",
            expected=f"the role {' or '.join(roles)}",
            remedy="sign in with another account",
        )
    return account


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
