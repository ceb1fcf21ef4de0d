"""Images in, probabilities out, by a registered model whose bytes are those recorded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sgps.audit import Ledger
from sgps.datasets.decoding import read_image
from sgps.errors import InputError, IntegrityError
from sgps.registry import VersionSummary
from sgps.service.synthesis import LEDGER_KIND
from sgps.service.workspace import Workspace, image_limits, open_workspace
from sgps.settings import Settings
from sgps.synthesizer.classifier import SynthesizedClassifier

_log = logging.getLogger("sgps.prediction")


@dataclass(frozen=True)
class Prediction:
    """Probability of each class for one image; ``label`` is the most probable."""

    image: str
    label: str
    probabilities: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def predict_images(
    model_uri: str, paths: Sequence[str | Path], settings: Settings
) -> list[Prediction]:
    """Classify the image files at ``paths`` with a registered model, in their order.

    Raises
    ------
    InputError, ImageError: there is no image, or one cannot be decoded.
    UnknownNameError: there is no such model.
    IntegrityError: weights, class names or settings are not those that the ledger recorded.
    StoreError: ledger or registry cannot be read.
    """
    with open_workspace(settings) as workspace:
        return predict_in_workspace(model_uri, paths, workspace)


def predict_in_workspace(
    model_uri: str, paths: Sequence[str | Path], workspace: Workspace
) -> list[Prediction]:
    """Like :func:`predict_images`, in stores that are open already."""
    if not paths:
        raise InputError("no image to classify", remedy="give at least one image file")
    limits = image_limits(workspace.settings)
    images = [read_image(Path(path), limits=limits).pixels for path in paths]
    classifier = load_verified(model_uri, workspace)
    names = classifier.class_names
    return [
        Prediction(
            image=str(path),
            label=names[int(row.argmax())],
            probabilities={name: float(value) for name, value in zip(names, row, strict=True)},
        )
        for path, row in zip(paths, classifier.predict_proba(images), strict=True)
    ]


def load_verified(model_uri: str, workspace: Workspace) -> SynthesizedClassifier:
    """Load a registered model; a warning is logged where the ledger does not know it.

    Raises
    ------
    UnknownNameError: there is no such model.
    IntegrityError: the weights are not those that the ledger recorded.
    StoreError: ledger or registry cannot be read.
    """
    summary = workspace.registry.describe(model_uri)
    classifier = workspace.registry.load(summary.model_uri)
    recorded = _recorded_outputs(summary, workspace.ledger)
    if recorded is None:
        _log.warning("%s is not in the ledger: nobody can say how it was made", summary.model_uri)
        return classifier
    found = {
        "weights_sha256": classifier.weights_sha256,
        "description_sha256": classifier.description_sha256,
    }
    for name, digest in found.items():
        if recorded[name] != digest:
            raise IntegrityError(
                f"{summary.model_uri}: {name} is {digest[:12]}",
                expected=f"{recorded[name][:12]} as the ledger recorded",
                remedy="do not use this model; restore its artifacts or synthesize it again",
            )
    return classifier


def _recorded_outputs(summary: VersionSummary, ledger: Ledger) -> dict[str, str] | None:
    """The digests in the newest entry of this very run; None where there is none."""
    for entry in reversed(ledger.entries(LEDGER_KIND, summary.model_uri)):
        if entry.record["registered"]["run_id"] == summary.run_id:
            return dict(entry.record["audit"]["outputs"])
    return None
