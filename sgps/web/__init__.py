"""The steward's page and its HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgps.web.app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    """Import FastAPI only when the page is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sgps.web.app import create_app  # noqa: PLC0415

    return create_app
