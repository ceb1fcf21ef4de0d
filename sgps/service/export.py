"""A registered classifier taken out of the registry: as ONNX, or in its compact form."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sgps.errors import InputError
from sgps.service.prediction import load_verified
from sgps.service.synthesis import load_synthesizer
from sgps.service.workspace import open_workspace
from sgps.settings import Settings
from sgps.synthesizer.compact import CompactClassifier
from sgps.synthesizer.export import export_onnx


@dataclass(frozen=True)
class ExportReceipt:
    """What was written; None where it was not asked for.

    Attributes
    ----------
    onnx_difference: largest difference of a logit of the ONNX file to torch's.
    compact_bytes: size of the compact form on disk.
    """

    model_uri: str
    weights_sha256: str
    onnx: str | None = None
    onnx_difference: float | None = None
    compact: str | None = None
    compact_bytes: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, without what was not asked for."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def export_version(
    model_uri: str, settings: Settings, *, onnx: Path | None = None, compact: Path | None = None
) -> ExportReceipt:
    """Write a registered classifier as an ONNX file, into a folder in its compact form, or both.

    The compact form needs the generator that made the classifier: that of the settings.

    Raises
    ------
    InputError: neither is asked for, or the classifier carries no codes and its generator needs
        them.
    UnknownNameError: there is no such model, or no such generator.
    IntegrityError: the weights are not those that the ledger recorded, or another generator made
        them.
    StoreError: ledger or registry cannot be read, or a file cannot be written.
    OperatorError: a package of the ``onnx`` extra is not installed.
    """
    if onnx is None and compact is None:
        raise InputError(
            "nothing to export", expected="--onnx FILE, --compact FOLDER or both", remedy="give one"
        )
    with open_workspace(settings) as workspace:
        classifier = load_verified(model_uri, workspace)
    facts: dict[str, Any] = {"weights_sha256": classifier.weights_sha256}
    if compact is not None:
        form = CompactClassifier.of(classifier, load_synthesizer(settings))
        facts |= {"compact": str(compact), "compact_bytes": form.save(compact)}
    if onnx is not None:
        facts |= {"onnx": str(onnx), "onnx_difference": export_onnx(classifier, onnx)}
    return ExportReceipt(model_uri, **facts)
