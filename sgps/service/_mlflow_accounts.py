"""The accounts of the MLflow server, made anew at each start.

Those of the page may read; what the system itself writes, it writes as an account of its own, whose
password is made anew too and kept in a file for its owner alone.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from sgps.errors import InputError, OperatorError
from sgps.files import write_whole
from sgps.registry.server_access import AUTHORIZATION_FUNCTION
from sgps.service.addresses import LOOPBACK
from sgps.settings import Settings

MIN_PASSWORD = 12
"""Characters of a password that MLflow accepts."""

SERVICE_USER = "sgps-service"
"""Name of the account that writes."""

USER_VARIABLE, PASSWORD_VARIABLE = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
_SERVICE_FILE = "mlflow-service.json"
_SECONDS = 10.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_CONFIGURATION = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{database}
authorization_function = {function}
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
        if user == SERVICE_USER:
            raise InputError(
                f"account {place} of SGPS_BASIC_AUTH has the name {SERVICE_USER}",
                expected="the name of a person",
                remedy="choose another one",
            )
        if len(password) < MIN_PASSWORD:
            raise InputError(
                f"the password of account {place} of SGPS_BASIC_AUTH is too short for MLflow",
                expected=f"{MIN_PASSWORD} characters or more",
                remedy="choose a longer one",
            )
        found.append(Account(user, password))
    return tuple(found)


def service_account() -> Account:
    """The account that writes, with a new password."""
    return Account(SERVICE_USER, secrets.token_urlsafe(24))


def prepare_accounts(run: Path, service: Account) -> None:
    """Write MLflow's configuration and the service account to ``run``; forget earlier accounts."""
    database = run / "mlflow-auth.db"
    for leftover in run.glob("mlflow-auth.db*"):
        leftover.unlink()
    database.touch(mode=0o600)
    text = _CONFIGURATION.format(database=database, function=AUTHORIZATION_FUNCTION)
    write_whole(run / "mlflow-auth.ini", text, private=True)
    write_whole(run / _SERVICE_FILE, json.dumps({"pair": service.pair}), private=True)


def add_accounts(address: str, service: Account, readers: tuple[Account, ...]) -> None:
    """Make the accounts that read; MLflow makes ``service`` itself, as its administrator.

    Raises
    ------
    OperatorError: MLflow refuses one.
    """
    for account in readers:
        body = json.dumps({"username": account.user, "password": account.password})
        request = urllib.request.Request(
            f"{address}/api/2.0/mlflow/users/create",
            data=body.encode(),
            headers={**service.headers, "Content-Type": "application/json"},
            method="POST",
        )
        try:
            _OPENER.open(request, timeout=_SECONDS).close()
        except (urllib.error.URLError, OSError) as error:
            raise OperatorError(
                f"MLflow does not accept the account {account.user!r}: {error}"
            ) from error


def sign_in_to_own_server(settings: Settings) -> None:
    """Let MLflow's client of this process sign in to the server that runs in this home.

    Whoever can read the home's ``run`` folder may write; an account in the environment goes first.
    """
    address = urlsplit(settings.tracking_uri or "")
    own = address.hostname in (*LOOPBACK, settings.page_host)
    if not own or address.port != settings.mlflow_port or USER_VARIABLE in os.environ:
        return
    try:
        text = (settings.home_folder / "run" / _SERVICE_FILE).read_text(encoding="utf-8")
        user, _, password = str(json.loads(text)["pair"]).partition(":")
    except (OSError, ValueError, KeyError, TypeError):
        return
    os.environ.update({USER_VARIABLE: user, PASSWORD_VARIABLE: password})
