"""The method: a meta-trained generator that writes every tensor of a classifier."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgps.synthesizer.classifier import SynthesizedClassifier
    from sgps.synthesizer.generator_config import GeneratorConfig
    from sgps.synthesizer.hypernetwork import Hypernetwork
    from sgps.synthesizer.synthesizer import Synthesizer
    from sgps.synthesizer.task import ClassSupport, Task

_MODULES = {
    "ClassSupport": "task",
    "GeneratorConfig": "generator_config",
    "Hypernetwork": "hypernetwork",
    "SynthesizedClassifier": "classifier",
    "Synthesizer": "synthesizer",
    "Task": "task",
}

__all__ = [
    "ClassSupport",
    "GeneratorConfig",
    "Hypernetwork",
    "SynthesizedClassifier",
    "Synthesizer",
    "Task",
]


def __getattr__(name: str) -> Any:
    """Import torch only when something that needs it is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
