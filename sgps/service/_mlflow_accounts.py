"""The accounts of the MLflow server: those of the page, made anew at each start."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from sgps.errors import InputError, OperatorError
from sgps.service._run_state import write_private

MIN_PASSWORD = 12
"""Characters of a password that MLflow accepts."""

_SECONDS = 10.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_CONFIGURATION = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{database}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@dataclass(frozen=True)
class Account:
    """Who may sign in."""

    user: str
    password: str = field(repr=False)

    @property
    def pair(self) -> str:
        """``user:password``, as HTTP's basic authentication wants it."""
        return f"{self.user}:{self.password}"

    @property
    def headers(self) -> Mapping[str, str]:
        """The header that signs a request in."""
        return {"Authorization": "Basic " + base64.b64encode(self.pair.encode()).decode()}


def read_accounts(basic_auth: SecretStr | None) -> tuple[Account, ...]:
    """The accounts of the setting ``basic_auth``: USER:PASSWORD[:ROLE], separated by commas.

    Raises
    ------
    InputError: one has no user or password, or a password that MLflow refuses.
    """
    if basic_auth is None:
        return ()
    found = []
    for place, part in enumerate(basic_auth.get_secret_value().split(","), start=1):
        user, _, rest = part.strip().partition(":")
        password = rest.partition(":")[0]
        if not user or not password:
            raise InputError(
                f"account {place} of SGPS_BASIC_AUTH has no user or no password",
                expected="USER:PASSWORD:ROLE",
                remedy="correct SGPS_BASIC_AUTH",
            )
        if len(password) < MIN_PASSWORD:
            raise InputError(
                f"the password of account {place} of SGPS_BASIC_AUTH is too short for MLflow",
                expected=f"{MIN_PASSWORD} characters or more",
                remedy="choose a longer one",
            )
        found.append(Account(user, password))
    return tuple(found)


def prepare_accounts(run: Path) -> None:
    """Write MLflow's configuration to ``run``, and forget the accounts of the last start."""
    database = run / "mlflow-auth.db"
    for leftover in run.glob("mlflow-auth.db*"):
        leftover.unlink()
    database.touch(mode=0o600)
    write_private(run / "mlflow-auth.ini", _CONFIGURATION.format(database=database))


def add_accounts(address: str, accounts: tuple[Account, ...]) -> None:
    """Make all accounts but the first, which MLflow makes itself as its administrator.

    They may read everything.

    Raises
    ------
    OperatorError: MLflow refuses one.
    """
    administrator, *readers = accounts
    for account in readers:
        body = json.dumps({"username": account.user, "password": account.password})
        request = urllib.request.Request(
            f"{address}/api/2.0/mlflow/users/create",
            data=body.encode(),
            headers={**administrator.headers, "Content-Type": "application/json"},
            method="POST",
        )
        try:
            _OPENER.open(request, timeout=_SECONDS).close()
        except (urllib.error.URLError, OSError) as error:
            raise OperatorError(
                f"MLflow does not accept the account {account.user!r}: {error}"
            ) from error
