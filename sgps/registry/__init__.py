"""The model registry (MLflow): register, load and search classifiers; the model card."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgps.registry._reachability import check_reachable
    from sgps.registry._request_runs import RequestRun
    from sgps.registry.card import render_card
    from sgps.registry.mlflow_registry import ModelRegistry
    from sgps.registry.naming import model_name_for, support_artifact_names
    from sgps.registry.package import ModelPackage, SupportImage
    from sgps.registry.tracking import MetricLog
    from sgps.registry.versions import RegisteredVersion, VersionSummary

_MODULES = {
    "MetricLog": "tracking",
    "ModelPackage": "package",
    "ModelRegistry": "mlflow_registry",
    "RegisteredVersion": "versions",
    "RequestRun": "_request_runs",
    "SupportImage": "package",
    "VersionSummary": "versions",
    "check_reachable": "_reachability",
    "model_name_for": "naming",
    "render_card": "card",
    "support_artifact_names": "naming",
    "without_password": "addresses",
}

__all__ = [
    "MetricLog",
    "ModelPackage",
    "ModelRegistry",
    "RegisteredVersion",
    "RequestRun",
    "SupportImage",
    "VersionSummary",
    "check_reachable",
    "model_name_for",
    "render_card",
    "support_artifact_names",
    "without_password",
]


def __getattr__(name: str) -> Any:
    """Import MLflow only when something that needs it is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
