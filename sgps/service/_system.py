"""The servers of one installation: MLflow, Prefect, its runner, and the steward's page."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from sgps.errors import InputError
from sgps.registry.addresses import passwords_in
from sgps.registry.embedded_store import prepare_tables
from sgps.service._mlflow_accounts import (
    PASSWORD_VARIABLE,
    USER_VARIABLE,
    add_accounts,
    prepare_accounts,
    read_accounts,
    service_account,
)
from sgps.service._servers import Health, Port, Server
from sgps.service.addresses import (
    LOOPBACK,
    host_headers,
    near_host,
    open_address,
    origins,
    prefect_api,
    with_driver,
)
from sgps.settings import OFFLINE_DEFAULTS, Settings, open_to_others

_SECRET_SETTINGS = (
    "SGPS_BASIC_AUTH", "SGPS_LEDGER_URL", "SGPS_PREFECT_DATABASE_URL", "SGPS_TRACKING_DATABASE_URL",
)  # fmt: skip
_RETRAINING = ("params.yaml", "retrain")


class SystemPlan:
    """What `sgps up` starts, and where.

    Parameters
    ----------
    settings: of the installation.
    environment: of this process; the servers get it too, without the secrets of others.
    folder: working folder of the page and of the runner; its ``params.yaml`` says how to retrain.
    prefect: whether Prefect and its runner are wanted.

    Raises
    ------
    InputError: the settings do not fit together.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        folder: Path,
        *,
        prefect: bool = True,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._prefect = prefect
        self._host = settings.page_host
        self._near = near_host(self._host)
        self._accounts = read_accounts(settings.basic_auth)
        self._service = service_account()
        self._environment = self._common_environment(environment)
        self._tracking = self._tracking_address()
        _require_s3_client(settings.artifact_uri)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the person who starts it should know."""
        found = []
        if self._tracking != self._own_tracking:
            found.append("SGPS_TRACKING_URI names another MLflow server: none is started here")
        if self._prefect and not self._retrains:
            found.append(
                f"no retraining on a schedule: {self._folder / _RETRAINING[0]} has no parameters"
                f" under {_RETRAINING[1]!r}"
            )
        if self._host not in LOOPBACK and not self._accounts:
            found.append(
                f"the servers listen on {self._host} and nobody has to sign in: set SGPS_BASIC_AUTH"
            )
        found.append(open_to_others(self._settings.home_folder))
        return tuple(filter(None, found))

    def servers(self) -> tuple[Server, ...]:
        """Every server, in the order in which they may start."""
        own = self._tracking == self._own_tracking
        found = [self._mlflow()] if own else []
        needs = ("mlflow",) if own else ()
        if self._prefect:
            found.append(self._prefect_server())
            found.append(self._runner((*needs, "prefect")))
        return (*found, self._page(needs))

    def _mlflow(self) -> Server:
        settings, run = self._settings, self._settings.home_folder / "run"
        port, folder = settings.mlflow_port, settings.home_folder / "mlflow"
        root = settings.artifact_uri or settings.artifact_folder.as_uri()
        names = settings.page_host_names
        command = (
            *_module("mlflow"), "server", "--host", self._host, "--port", str(port),
            "--workers", "1", "--default-artifact-root", root, "--no-serve-artifacts",
            "--uvicorn-opts", "--no-access-log",
            "--allowed-hosts", ",".join(host_headers(self._host, port, names)),
            "--cors-allowed-origins", ",".join(origins(self._host, port, names)),
        )  # fmt: skip
        environment = {
            **self._environment,
            "MLFLOW_BACKEND_STORE_URI": self._tracking_database,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        if self._accounts:
            command = (*command, "--app-name", "basic-auth")
            environment |= {
                "MLFLOW_AUTH_CONFIG_PATH": str(run / "mlflow-auth.ini"),
                "MLFLOW_AUTH_ADMIN_USERNAME": self._service.user,
                "MLFLOW_AUTH_ADMIN_PASSWORD": self._service.password,
                "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
            }
        return Server(
            name="mlflow",
            title="MLflow",
            restarts=True,
            command=command,
            environment=environment,
            folder=folder,
            address=open_address(self._host, port),
            health=Health(f"{self._own_tracking}/health"),
            port=Port(self._host, port, "SGPS_MLFLOW_PORT"),
            secrets=self._secrets,
            prepare=partial(self._prepare_mlflow, folder),
            complete=partial(add_accounts, self._own_tracking, self._service, self._accounts)
            if self._accounts
            else None,
        )

    def _prepare_mlflow(self, folder: Path) -> None:
        prepare_tables(self._tracking_database, folder)
        if self._accounts:
            prepare_accounts(self._settings.home_folder / "run", self._service)

    def _prefect_server(self) -> Server:
        port = self._settings.prefect_port
        names = self._settings.page_host_names
        listening = ("--host", self._host, "--port", str(port))
        environment = {
            **self._environment,
            "PREFECT_UI_API_URL": f"{open_address(self._host, port)}/api",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins(self._host, port, names)),
        }
        if self._settings.prefect_database_url is not None:
            environment["PREFECT_API_DATABASE_CONNECTION_URL"] = with_driver(
                self._settings.prefect_database_url.get_secret_value(), "prefect"
            )
        if self._accounts:
            environment["PREFECT_SERVER_API_AUTH_STRING"] = self._accounts[0].pair
        return Server(
            name="prefect",
            title="Prefect",
            restarts=True,
            command=(*_module("flows.server"), *listening, *(f"--name={one}" for one in names)),
            environment=environment,
            folder=self._settings.home_folder / "prefect",
            address=open_address(self._host, port),
            health=Health(f"http://{self._near}:{port}/api/health"),
            port=Port(self._host, port, "SGPS_PREFECT_PORT"),
            secrets=self._secrets,
        )

    def _runner(self, after: tuple[str, ...]) -> Server:
        api = prefect_api(self._host, self._settings.prefect_port)
        environment = {**self._client_environment, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
        if self._accounts:
            environment["PREFECT_API_AUTH_STRING"] = self._accounts[0].pair
        flags = () if self._retrains else ("--on-demand-only",)
        return Server(
            name="runner",
            title="Prefect runner",
            restarts=True,
            command=(*_module("flows.deployments"), *flags),
            environment=environment,
            folder=self._folder,
            health=Health(
                f"{api}/deployments/name/synthesize/on-demand",
                headers=self._sign_in,
                fresh_field="last_polled",
            ),
            after=after,
            secrets=self._secrets,
        )

    def _page(self, after: tuple[str, ...]) -> Server:
        environment = dict(self._client_environment)
        if self._settings.basic_auth is not None:
            environment["SGPS_BASIC_AUTH"] = self._settings.basic_auth.get_secret_value()
        port = self._settings.page_port
        return Server(
            name="page",
            title="Steward's page",
            command=_module("sgps.web"),
            environment=environment,
            folder=self._folder,
            address=open_address(self._host, port),
            health=Health(f"http://{self._near}:{port}/api/health", headers=self._sign_in),
            port=Port(self._host, port, "SGPS_PAGE_PORT"),
            after=after,
            secrets=self._secrets,
        )

    @property
    def _sign_in(self) -> Mapping[str, str]:
        return self._accounts[0].headers if self._accounts else {}

    @property
    def _own_tracking(self) -> str:
        return f"http://{self._near}:{self._settings.mlflow_port}"

    @property
    def _tracking_is_server(self) -> bool:
        return (self._settings.tracking_uri or "").startswith(("http://", "https://"))

    def _tracking_address(self) -> str:
        """The MLflow server that page and runner use: ours, unless the settings name another."""
        if not self._tracking_is_server:
            return self._own_tracking
        given = urlsplit(self._settings.tracking_uri or "")
        ours = given.hostname in (*LOOPBACK, self._host)
        same = ours and given.port == self._settings.mlflow_port
        return self._own_tracking if same else str(self._settings.tracking_uri)

    @property
    def _tracking_database(self) -> str:
        """Where our MLflow server keeps its tables: the store that is used without a server."""
        given = self._settings.tracking_database_url
        if given is not None:
            return with_driver(given.get_secret_value(), "mlflow")
        if self._tracking_is_server:
            return self._settings.model_copy(update={"tracking_uri": None}).resolved_tracking_uri
        return self._settings.resolved_tracking_uri

    @property
    def _retrains(self) -> bool:
        """Whether the working folder says how; the runner itself reads and checks it."""
        file, section = _RETRAINING
        try:
            content = yaml.safe_load((self._folder / file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return False
        return isinstance(content, dict) and isinstance(content.get(section), dict)

    @property
    def _client_environment(self) -> dict[str, str]:
        environment = {**self._environment, "SGPS_TRACKING_URI": self._tracking}
        if self._settings.ledger_url is not None:
            environment["SGPS_LEDGER_URL"] = self._settings.ledger_url.get_secret_value()
        if self._accounts and self._tracking == self._own_tracking:
            environment[USER_VARIABLE] = self._service.user
            environment[PASSWORD_VARIABLE] = self._service.password
        return environment

    def _common_environment(self, given: Mapping[str, str]) -> dict[str, str]:
        settings = self._settings
        kept = {name: value for name, value in given.items() if name not in _SECRET_SETTINGS}
        near = {*LOOPBACK, self._near.strip("[]")}
        direct = ",".join(sorted({*near, *filter(None, kept.get("NO_PROXY", "").split(","))}))
        environment = {
            **OFFLINE_DEFAULTS,
            **kept,
            "SGPS_HOME": str(settings.home_folder),
            "SGPS_PAGE_HOST": self._host,
            "SGPS_PAGE_PORT": str(settings.page_port),
            "SGPS_MLFLOW_PORT": str(settings.mlflow_port),
            "SGPS_PREFECT_PORT": str(settings.prefect_port),
            "PREFECT_HOME": str(settings.home_folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "NO_PROXY": direct,
            "no_proxy": direct,
            "PYTHONUNBUFFERED": "1",
        }
        if self._prefect:
            environment["PREFECT_API_URL"] = prefect_api(self._host, settings.prefect_port)
        return environment

    @property
    def _secrets(self) -> tuple[str, ...]:
        settings = self._settings
        urls = (settings.tracking_database_url, settings.prefect_database_url, settings.ledger_url)
        passwords = [one for url in urls if url for one in passwords_in(url.get_secret_value())]
        accounts = (*self._accounts, self._service)
        return tuple(filter(None, [*passwords, *(one.password for one in accounts)]))


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name)


def _require_s3_client(artifact_uri: str | None) -> None:
    if (artifact_uri or "").startswith("s3:") and find_spec("boto3") is None:
        raise InputError(
            "SGPS_ARTIFACT_URI names an S3 store, and boto3 is not installed",
            expected="the package boto3",
            remedy="pip install 'sgps[s3]'",
        )
