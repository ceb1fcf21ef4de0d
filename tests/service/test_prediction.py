"""Predicting with a registered model, and refusing one that was altered."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from sgps.audit import Ledger
from sgps.errors import ImageError, InputError, IntegrityError, StoreError, UnknownNameError
from sgps.service.prediction import Prediction, predict_images, predict_in_workspace
from sgps.service.requests import SynthesisRequest
from sgps.service.synthesis import SynthesisReceipt, synthesize_request
from sgps.service.workspace import Workspace, open_workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer
from sgps.synthesizer.classifier import CLASSIFIER_FORMAT
from sgps.synthesizer.sealed import read_sealed, write_sealed


@pytest.fixture
def receipt(task_folder: Path, workspace: Workspace, generator: Synthesizer) -> SynthesisReceipt:
    request = SynthesisRequest.from_folder(task_folder, "Dr. Ada", "study")
    return synthesize_request(request, workspace, generator)


@pytest.fixture
def image(task_folder: Path) -> Path:
    return task_folder / "wart" / "1.png"


@pytest.mark.parametrize("form", ["models:/skin-marks/1", "models:/skin-marks/latest", "run"])
def test_each_image_gets_a_probability_a_class(
    receipt: SynthesisReceipt, settings: Settings, image: Path, form: str
) -> None:
    uri = f"runs:/{receipt.run_id}/model" if form == "run" else form
    predictions = predict_images(uri, [image, str(image)], settings)
    assert [prediction.image for prediction in predictions] == [str(image)] * 2
    first = predictions[0]
    assert isinstance(first, Prediction)
    assert list(first.probabilities) == ["melanoma", "naevus", "wart"]
    assert sum(first.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert first.label == max(first.probabilities, key=first.probabilities.__getitem__)
    assert set(json.loads(json.dumps(first.to_dict()))) == {"image", "label", "probabilities"}


def test_images_are_checked_before_the_model(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"no\.png"):
        predict_images("models:/nobody/1", [tmp_path / "no.png"], settings)
    with pytest.raises(InputError, match="no image"):
        predict_images("models:/nobody/1", [], settings)


@pytest.mark.parametrize(
    "uri",
    ["models:/nobody/1", "models:/skin-marks/2", "models:/skin-marks@approved", "runs:/abc/model",
     "models:/skin-marks/Production", "skin-marks", "", "models:/a/b/c", "models:/../../etc/1"],
)  # fmt: skip
def test_an_unknown_model_is_named(
    receipt: SynthesisReceipt, workspace: Workspace, image: Path, uri: str
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        predict_in_workspace(uri, [image], workspace)
    assert "\n" not in str(caught.value)


def classifier_folder(settings: Settings, receipt: SynthesisReceipt) -> Path:
    run = settings.artifact_folder / receipt.run_id / "artifacts"
    return run / "model" / "data" / "classifier"


def test_altered_weights_are_refused(
    receipt: SynthesisReceipt, workspace: Workspace, image: Path
) -> None:
    path = classifier_folder(workspace.settings, receipt) / "classifier.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError):
        predict_in_workspace(receipt.model_uri, [image], workspace)


def test_swapped_class_names_are_refused_even_when_sealed_again(
    receipt: SynthesisReceipt, workspace: Workspace, image: Path
) -> None:
    folder = classifier_folder(workspace.settings, receipt)
    content = read_sealed(folder, "classifier", file_format=CLASSIFIER_FORMAT)
    names = content.description["class_names"]
    swapped = {**content.description, "class_names": names[::-1]}
    write_sealed(folder, "classifier", content.tensors, swapped, file_format=CLASSIFIER_FORMAT)
    with pytest.raises(IntegrityError, match="description_sha256"):
        predict_in_workspace(receipt.model_uri, [image], workspace)


def test_other_weights_that_are_sound_in_themselves_are_refused(
    receipt: SynthesisReceipt,
    workspace: Workspace,
    image: Path,
    task_folder: Path,
    generator: Synthesizer,
) -> None:
    other = SynthesisRequest.from_folder(task_folder, "Dr. Ada", "study", task="Other")
    fewer = other.model_copy(update={"classes": other.classes[:2]})
    second = synthesize_request(fewer, workspace, generator)
    folder = classifier_folder(workspace.settings, receipt)
    shutil.rmtree(folder)
    shutil.copytree(classifier_folder(workspace.settings, second), folder)
    with pytest.raises(IntegrityError, match="as the ledger recorded"):
        predict_in_workspace(receipt.model_uri, [image], workspace)


def test_a_model_that_the_ledger_does_not_know_is_warned_of(
    receipt: SynthesisReceipt,
    workspace: Workspace,
    image: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/other.db") as other:
        unknowing = Workspace(workspace.settings, workspace.registry, other)
        with caplog.at_level(logging.WARNING, logger="sgps.prediction"):
            predict_in_workspace(receipt.model_uri, [image], unknowing)
    assert "not in the ledger" in caplog.text


def test_a_workspace_in_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        open_workspace(Settings(home=tmp_path / "file"))
    assert "\n" not in str(caught.value)
    other = Settings(home=tmp_path / "good", tracking_uri=f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(StoreError):
        open_workspace(other)
