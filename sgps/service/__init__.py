"""Use cases that join the rooms: synthesize a request, predict with a registered model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgps.service.exactly_once import Submission, process, status, submit, synthesize_once
    from sgps.service.identity import RequesterIdentity
    from sgps.service.prediction import Prediction, predict_images
    from sgps.service.provenance import FlowIdentity
    from sgps.service.requests import ClassRequest, SynthesisRequest
    from sgps.service.synthesis import SynthesisReceipt, synthesize_request
    from sgps.service.workspace import Workspace, open_workspace

_MODULES = {
    "ClassRequest": "requests",
    "FlowIdentity": "provenance",
    "Prediction": "prediction",
    "RequesterIdentity": "identity",
    "Submission": "exactly_once",
    "SynthesisReceipt": "synthesis",
    "SynthesisRequest": "requests",
    "Workspace": "workspace",
    "open_workspace": "workspace",
    "predict_images": "prediction",
    "process": "exactly_once",
    "status": "exactly_once",
    "submit": "exactly_once",
    "synthesize_once": "exactly_once",
    "synthesize_request": "synthesis",
}

__all__ = [
    "ClassRequest",
    "FlowIdentity",
    "Prediction",
    "RequesterIdentity",
    "Submission",
    "SynthesisReceipt",
    "SynthesisRequest",
    "Workspace",
    "open_workspace",
    "predict_images",
    "process",
    "status",
    "submit",
    "synthesize_once",
    "synthesize_request",
]


def __getattr__(name: str) -> Any:
    """Import torch and MLflow only when something that needs them is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
