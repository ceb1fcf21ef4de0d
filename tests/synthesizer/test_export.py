"""An exported classifier gives torch's logits, at any batch size, and names its classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from sgps.errors import OperatorError, StoreError
from sgps.synthesizer import ClassSupport, SynthesizedClassifier, Synthesizer, Task, export
from sgps.synthesizer.export import INPUT_NAME, ONNX_TOLERANCE, OUTPUT_NAME, export_onnx
from sgps.synthesizer.scoring import images_to_tensor

from .conftest import build_hypernetwork, random_images

NAMES = ("naevus", "Mélanome", "wart")


@pytest.fixture(scope="module")
def classifier() -> SynthesizedClassifier:
    synthesizer = Synthesizer(build_hypernetwork(trained=True, task_codes=False))
    classes = (ClassSupport(name, random_images(n, 2)) for n, name in enumerate(NAMES))
    return synthesizer.synthesize(Task("t", tuple(classes)))


@pytest.fixture(scope="module")
def exported(
    classifier: SynthesizedClassifier, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, float]:
    path = tmp_path_factory.mktemp("onnx") / "new" / "classifier.onnx"
    return path, export_onnx(classifier, path)


@pytest.fixture(scope="module")
def session(exported: tuple[Path, float]) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(exported[0]), providers=["CPUExecutionProvider"])


def test_the_difference_is_small_and_the_file_stands_alone(exported: tuple[Path, float]) -> None:
    path, difference = exported
    assert 0 <= difference <= ONNX_TOLERANCE
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    onnx.checker.check_model(onnx.load(path), full_check=True)


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("side", [64, 150])
def test_logits_are_those_of_the_classifier(
    classifier: SynthesizedClassifier,
    session: onnxruntime.InferenceSession,
    count: int,
    side: int,
) -> None:
    images = random_images(50 + count, count, side)
    pixels = images_to_tensor(images, classifier.resolution).numpy()
    [logits] = session.run([OUTPUT_NAME], {INPUT_NAME: pixels})
    assert logits.dtype == np.float32
    assert logits.shape == (count, len(NAMES))
    np.testing.assert_allclose(logits, classifier.logits(images), rtol=0, atol=1e-4)


def test_the_file_says_what_it_is(
    classifier: SynthesizedClassifier, session: onnxruntime.InferenceSession
) -> None:
    facts = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(facts["class_names"])) == NAMES
    assert facts["resolution"] == str(classifier.resolution)
    assert facts["architecture"] == classifier.architecture
    assert facts["weights_sha256"] == classifier.weights_sha256
    [images] = session.get_inputs()
    assert images.type == "tensor(uint8)"
    assert images.shape == ["batch", 3, classifier.resolution, classifier.resolution]


def test_the_classifier_is_as_it_was(
    classifier: SynthesizedClassifier, exported: tuple[Path, float]
) -> None:
    again = SynthesizedClassifier.from_tensors(classifier.tensors(), classifier.description())
    images = random_images(9, 3)
    np.testing.assert_array_equal(classifier.logits(images), again.logits(images))
    assert torch.equal(classifier.head.weight_ND, again.head.weight_ND)


def test_a_place_that_cannot_be_written(classifier: SynthesizedClassifier, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "classifier.onnx"):
        with pytest.raises(StoreError, match="cannot be written"):
            export_onnx(classifier, path)
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_missing_package_is_named(
    classifier: SynthesizedClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(OperatorError, match=r"no_such_package.*sgps\[onnx\]"):
        export_onnx(classifier, tmp_path / "classifier.onnx")
