"""The stores of one installation, opened together."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from sgps.audit import Ledger
from sgps.datasets.decoding import ImageLimits
from sgps.registry import ModelRegistry
from sgps.service._mlflow_accounts import sign_in_to_own_server
from sgps.settings import Settings, make_private_folder


class Workspace:
    """Settings, model registry and ledger; close it, or use it as a context manager.

    Parameters
    ----------
    registry: an open registry; None opens that of the settings when it is first asked for, so
        that a request can be accepted while the registry is down.
    """

    def __init__(self, settings: Settings, registry: ModelRegistry | None, ledger: Ledger) -> None:
        self.settings = settings
        self.ledger = ledger
        self._registry = registry
        self._opening = threading.Lock()

    @property
    def registry(self) -> ModelRegistry:
        """The model registry.

        Raises
        ------
        StoreError: it cannot be reached; it is tried again the next time.
        """
        with self._opening:
            if self._registry is None:
                self._registry = ModelRegistry(
                    self.settings.resolved_tracking_uri, self.settings.artifact_folder
                )
            return self._registry

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
    """Open the ledger where the settings say, made where it is missing; the registry when needed.

    The home is made too, for its owner alone, so that nothing else makes it otherwise.

    Raises
    ------
    StoreError: the ledger cannot be reached or written.
    """
    sign_in_to_own_server(settings)
    with suppress(OSError):  # what needs it says so
        make_private_folder(settings.home_folder)
    return Workspace(settings, None, Ledger.open(settings.resolved_ledger_url.get_secret_value()))


def image_limits(settings: Settings) -> ImageLimits:
    """The limits on image files that the settings ask for."""
    return ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
