"""Registered classifiers taken out of the registry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sgps.errors import InputError, IntegrityError, UnknownNameError
from sgps.service.export import ExportReceipt, export_version
from sgps.service.requests import SynthesisRequest
from sgps.service.synthesis import SynthesisReceipt, load_synthesizer, synthesize_request
from sgps.service.workspace import Workspace
from sgps.settings import Settings, override_settings
from sgps.synthesizer.compact import CompactClassifier


@pytest.fixture
def exporting(workspace: Workspace, untrained_generator: Path) -> Settings:
    """The workspace's settings with a generator on disk, as a user has them."""
    return override_settings(workspace.settings, generator=str(untrained_generator), device="cpu")


@pytest.fixture
def receipt(task_folder: Path, workspace: Workspace, exporting: Settings) -> SynthesisReceipt:
    request = SynthesisRequest.from_folder(task_folder, "Dr. Ada", "study")
    return synthesize_request(request, workspace, load_synthesizer(exporting))


def test_the_compact_form_of_a_registered_version(
    receipt: SynthesisReceipt, workspace: Workspace, exporting: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "compact"
    exported = export_version(receipt.model_uri, exporting, compact=folder)
    assert exported == ExportReceipt(
        model_uri=receipt.model_uri,
        weights_sha256=receipt.weights_sha256,
        compact=str(folder),
        compact_bytes=sum(path.stat().st_size for path in folder.iterdir()),
    )
    assert set(exported.to_dict()) == {"model_uri", "weights_sha256", "compact", "compact_bytes"}
    expanded = CompactClassifier.load(folder).expand(load_synthesizer(exporting))
    registered = workspace.registry.load(receipt.model_uri)
    assert expanded.weights_sha256 == receipt.weights_sha256
    images = np.random.default_rng(0).integers(0, 256, (3, 50, 60, 3), dtype=np.uint8)
    np.testing.assert_array_equal(expanded.logits(images), registered.logits(images))


def test_another_generator_is_refused_and_nothing_is_written(
    receipt: SynthesisReceipt, exporting: Settings, tmp_path: Path
) -> None:
    shipped = override_settings(exporting, generator="default")
    with pytest.raises(IntegrityError, match="did not make this classifier"):
        export_version(
            receipt.model_uri, shipped, onnx=tmp_path / "c.onnx", compact=tmp_path / "compact"
        )
    assert not (tmp_path / "compact").exists()
    assert not (tmp_path / "c.onnx").exists()


def test_nothing_asked_for_and_nobody_there(exporting: Settings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to export"):
        export_version("models:/nobody/1", exporting)
    with pytest.raises(UnknownNameError, match="nobody"):
        export_version("models:/nobody/1", exporting, onnx=tmp_path / "c.onnx")
