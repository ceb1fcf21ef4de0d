"""The stores of one installation, opened together."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sgps.audit import Ledger
from sgps.datasets.decoding import ImageLimits
from sgps.registry import ModelRegistry
from sgps.settings import Settings


@dataclass(frozen=True)
class Workspace:
    """Settings, model registry and ledger; close it, or use it as a context manager."""

    settings: Settings
    registry: ModelRegistry
    ledger: Ledger

    def check_writable(self) -> None:
        """Prove that a version could be registered and recorded now. Raises StoreError."""
        self.ledger.check_writable()
        self.registry.check_writable()

    def close(self) -> None:
        """Close the ledger's connections."""
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_workspace(settings: Settings) -> Workspace:
    """Open ledger and registry where the settings say, making both where they are missing.

    Raises
    ------
    StoreError: one of them cannot be reached or written.
    """
    ledger = Ledger.open(settings.resolved_ledger_url.get_secret_value())
    try:
        registry = ModelRegistry(settings.resolved_tracking_uri, settings.artifact_folder)
    except BaseException:
        ledger.close()
        raise
    return Workspace(settings, registry, ledger)


def image_limits(settings: Settings) -> ImageLimits:
    """The limits on image files that the settings ask for."""
    return ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
