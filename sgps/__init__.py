"""SGPS: classifiers synthesized from a few images and a clinical text, with an audit trail."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgps.errors import OperatorError, SgpsError, UserError
    from sgps.synthesizer import (
        ClassSupport,
        SynthesizedClassifier,
        Synthesizer,
        Task,
    )

__all__ = [
    "ClassSupport",
    "OperatorError",
    "SgpsError",
    "SynthesizedClassifier",
    "Synthesizer",
    "Task",
    "UserError",
]

_ERRORS = {"OperatorError", "SgpsError", "UserError"}

try:
    __version__ = version("sgps")
except PackageNotFoundError:
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that ``import sgps`` stays cheap."""
    if name not in __all__:
        raise AttributeError(f"module 'sgps' has no attribute {name!r}")
    return getattr(import_module("sgps.errors" if name in _ERRORS else "sgps.synthesizer"), name)
