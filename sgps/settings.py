"""The one reader of environment variables."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sgps.errors import InputError, StoreError

OFFLINE_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "False",
    "DVC_NO_ANALYTICS": "1",
}
QUIET_DEFAULTS = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}

QUICK_REGISTRY_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
_HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


class Settings(BaseSettings):
    """Frozen settings of one process, read from ``SGPS_*`` environment variables.

    Everything that SGPS stores lies under ``home`` unless a store has an address of its own.
    """

    model_config = SettingsConfigDict(env_prefix="SGPS_", frozen=True, extra="ignore")

    home: Path = Field(
        default=Path("~/.sgps"), description="Folder of everything that SGPS stores."
    )
    tracking_uri: str | None = Field(
        default=None, description="MLflow tracking and registry address; default: SQLite in home."
    )
    ledger_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL of the audit ledger; default: SQLite in home."
    )
    generator: str = Field(default="default", description="Generator checkpoint: name or path.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where networks run; auto takes a GPU where there is one."
    )
    requester: str | None = Field(
        default=None, description="Who asks, when a request does not say; default: the login name."
    )
    max_image_bytes: int = Field(
        default=50_000_000, gt=0, description="Largest image file accepted, in bytes."
    )
    max_image_pixels: int = Field(
        default=50_000_000, gt=0, description="Largest image accepted, in pixels."
    )
    max_text_characters: int = Field(
        default=8_000, gt=0, description="Longest description accepted, in characters."
    )
    allow_downloads: bool = Field(
        default=False, description="Let encoders load weights from the Hugging Face hub."
    )
    page_host: str = Field(
        default="127.0.0.1", description="Interface that `sgps up` lets its servers listen on."
    )
    page_port: int = Field(
        default=8600, ge=1, le=65_535, description="Port of the steward's page and its HTTP API."
    )
    page_names: str = Field(
        default="",
        description="Further host names, separated by commas, by which people open the page and"
        " MLflow, such as names in the DNS.",
    )
    mlflow_port: int = Field(
        default=5000, ge=1, le=65_535, description="Port of the MLflow server of `sgps up`."
    )
    prefect_port: int = Field(
        default=4200, ge=1, le=65_535, description="Port of the Prefect server of `sgps up`."
    )
    basic_auth: SecretStr | None = Field(
        default=None,
        description="Accounts of the page as USER:PASSWORD:ROLE, separated by commas; roles are"
        " steward, reviewer and auditor. Default: nobody signs in.",
    )
    max_request_bytes: int = Field(
        default=200_000_000, gt=0, description="Largest HTTP request accepted, in bytes."
    )
    max_upload_store_bytes: int = Field(
        default=2_000_000_000,
        gt=0,
        description="Room for the images that were dropped on the page, in bytes.",
    )
    max_queue: int = Field(
        default=64, gt=0, description="Requests that may wait; further ones are turned away."
    )
    artifact_uri: str | None = Field(
        default=None,
        description="Where the MLflow server of `sgps up` keeps artifacts, such as s3://bucket;"
        " default: a folder in home.",
    )
    tracking_database_url: SecretStr | None = Field(
        default=None, description="Database of the MLflow server of `sgps up`; default: SQLite."
    )
    prefect_database_url: SecretStr | None = Field(
        default=None, description="Database of the Prefect server of `sgps up`; default: SQLite."
    )

    @field_validator("page_names")
    @classmethod
    def _check_page_names(cls, value: str) -> str:
        for name in _split(value):
            if not _HOST_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no host name (such as sgps.example.org)")
        return value

    @property
    def page_host_names(self) -> tuple[str, ...]:
        """The names in ``page_names``, in small letters."""
        return tuple(dict.fromkeys(_split(self.page_names)))

    @property
    def home_folder(self) -> Path:
        """``home`` as an absolute path."""
        return self.home.expanduser().absolute()

    @property
    def resolved_tracking_uri(self) -> str:
        """The tracking address, or that of the SQLite file in home."""
        return self.tracking_uri or f"sqlite:///{self.home_folder / 'mlflow' / 'mlflow.db'}"

    @property
    def artifact_folder(self) -> Path:
        """Where the embedded MLflow store keeps artifacts (unused with a server)."""
        return self.home_folder / "mlflow" / "artifacts"

    @property
    def resolved_ledger_url(self) -> SecretStr:
        """The ledger's URL, or that of the SQLite file in home."""
        return self.ledger_url or SecretStr(f"sqlite:///{self.home_folder / 'ledger.db'}")


def _split(names: str) -> list[str]:
    return [name.strip().lower() for name in names.split(",") if name.strip()]


class PrefectAccess(BaseSettings):
    """How Prefect itself was told to reach its server, by ``PREFECT_API_*``; None where not."""

    model_config = SettingsConfigDict(env_prefix="PREFECT_API_", frozen=True, extra="ignore")

    url: str | None = None
    auth_string: SecretStr | None = None


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises
    ------
    InputError: a variable has a value of the wrong form.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "SGPS_" + "_".join(str(part) for part in first["loc"]).upper()
        raise InputError(
            f"environment variable {name}: {first['msg']}",
            remedy=f"correct or unset {name}",
        ) from error


def misspelt_variables(environment: Mapping[str, str]) -> list[str]:
    """A line for each ``SGPS_*`` variable that no setting reads, with the likeliest one meant."""
    known = {f"SGPS_{name.upper()}" for name in Settings.model_fields}
    lines = []
    for name in sorted(environment):
        if name.startswith("SGPS_") and name not in known:
            meant = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {meant[0]}?" if meant else ""
            lines.append(f"{name} is no setting of SGPS and has no effect{hint}")
    return lines


def apply_offline_defaults() -> None:
    """Keep the libraries from calling out and chatting, unless the environment says otherwise.

    Has to run before prefect, mlflow, great_expectations or a hub library is imported. The
    Hugging Face hub stays off unless ``SGPS_ALLOW_DOWNLOADS`` is set.
    """
    for name, value in {**OFFLINE_DEFAULTS, **QUIET_DEFAULTS}.items():
        os.environ.setdefault(name, value)
    if not load_settings().allow_downloads:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def apply_page_defaults() -> None:
    """Like :func:`apply_offline_defaults`; a registry that hangs is given up within seconds.

    A page has people who wait, and what it asked for in vain it asks for again later.
    """
    apply_offline_defaults()
    for name, value in QUICK_REGISTRY_DEFAULTS.items():
        os.environ.setdefault(name, value)


def apply_flow_defaults(log_level: str | None = None) -> None:
    """Keep Prefect's embedded server and results under SGPS's home, unless configured otherwise.

    Has to run before prefect is imported. Prefect makes its own folder there, but no parents.
    ``log_level``: the least that Prefect tells; None leaves it to Prefect.
    """
    apply_offline_defaults()
    home = load_settings().home_folder
    os.environ.setdefault("PREFECT_HOME", str(home / "prefect"))
    os.environ.setdefault("PREFECT_RESULTS_DEFAULT_SERIALIZER", "json")
    if log_level is not None:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", log_level)
    with contextlib.suppress(OSError):
        make_private_folder(home)


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone.

    What is there already keeps its permissions. Raises OSError where it cannot be made.
    """
    for place in (*reversed(folder.parents), folder):
        if not place.exists():
            place.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)


def open_to_others(folder: Path) -> str:
    """What to say of a folder that others than its owner may enter or read; empty for none."""
    try:
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError:
        return ""
    if not mode & 0o077:
        return ""
    return f"{folder} is open to other accounts (mode {mode:o}): run chmod 700 {folder}"


def require_writable(folder: Path) -> None:
    """Make ``folder``, for its owner alone, and write a file in it.

    Raises
    ------
    StoreError: that cannot be done.
    """
    try:
        make_private_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(
            f"folder {folder}: {error.strerror or error}",
            expected="a folder that can be written",
            remedy="change its permissions, or set SGPS_HOME to another place",
        ) from error


def override_settings(settings: Settings, **changes: object) -> Settings:
    """Settings with the ``changes`` that are not None, checked like those of the environment.

    Raises
    ------
    InputError: a value has the wrong form.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    try:
        return Settings.model_validate({**settings.model_dump(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{name} {first['input']!r}: {first['msg']}") from error
