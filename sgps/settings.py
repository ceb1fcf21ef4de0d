"""The one reader of environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from sgps.errors import InputError


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

    @property
    def home_folder(self) -> Path:
        return self.home.expanduser().absolute()

    @property
    def encoder_cache(self) -> Path:
        return self.home_folder / "cache" / "encoders"

    @property
    def resolved_tracking_uri(self) -> str:
        return self.tracking_uri or f"sqlite:///{self.home_folder / 'mlflow' / 'mlflow.db'}"

    @property
    def artifact_folder(self) -> Path:
        """Where the embedded MLflow store keeps artifacts (unused with a server)."""
        return self.home_folder / "mlflow" / "artifacts"

    @property
    def resolved_ledger_url(self) -> SecretStr:
        return self.ledger_url or SecretStr(f"sqlite:///{self.home_folder / 'ledger.db'}")


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
