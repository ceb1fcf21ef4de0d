"""Predicting with a registered model, and refusing one that was altered."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from recorded_drafts import copy_draft, synthesize_draft

from sgps.audit import Ledger
from sgps.errors import ImageError, InputError, IntegrityError, StoreError, UnknownNameError
from sgps.service import review
from sgps.service.prediction import (
    ACCESS_KIND,
    ClassifierCache,
    Prediction,
    load_verified,
    predict_images,
    predict_in_workspace,
    predict_pixels,
)
from sgps.service.requests import SynthesisRequest
from sgps.service.synthesis import SynthesisReceipt, synthesize_request
from sgps.service.workspace import Workspace, open_workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer
from sgps.synthesizer.sealed import read_sealed, write_sealed

CLASSIFIER = "sgps-classifier-1"
"""What a classifier without known classes is saved as."""


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
    told = json.loads(json.dumps(first.to_dict()))
    assert {"image", "label", "probabilities", "state"} <= set(told)
    assert told["state"] == "draft"


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
    content = read_sealed(folder, "classifier", file_format=CLASSIFIER)
    names = content.description["class_names"]
    swapped = {**content.description, "class_names": names[::-1]}
    write_sealed(folder, "classifier", content.tensors, swapped, file_format=CLASSIFIER)
    with pytest.raises(IntegrityError, match=r"description_(sha256|hmac)"):
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
    with open_workspace(other) as opened, pytest.raises(StoreError):
        opened.registry.search()


@pytest.fixture(scope="module")
def shared(fresh_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    home = tmp_path_factory.mktemp("prediction") / "home"
    shutil.copytree(fresh_home, home)
    with open_workspace(Settings(home=home)) as opened:
        yield opened


@pytest.fixture(scope="module")
def synthesized(
    shared: Workspace, generator: Synthesizer, tmp_path_factory: pytest.TempPathFactory
) -> str:
    return synthesize_draft(tmp_path_factory.mktemp("images") / "Skin marks", shared, generator)


@pytest.fixture
def draft(shared: Workspace, synthesized: str) -> str:
    return copy_draft(shared, synthesized)


PIXELS = [("a.png", np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8))]


def approve(draft: str, workspace: Workspace) -> str:
    """Approve a draft; the address of the alias."""
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    review.approve(draft, workspace, reviewer="Dr. Bo", reason="Good.")
    return draft.rsplit("/", 1)[0] + "@approved"


def test_only_an_approved_model_is_not_warned_of(
    draft: str, shared: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="sgps.prediction"):
        [first] = predict_pixels(draft, PIXELS, shared)
        load_verified(draft, shared)
        assert caplog.text.count("is not approved (state: draft)") == 2
        approved = approve(draft, shared)
        caplog.clear()
        [second] = predict_pixels(approved, PIXELS, shared)
    assert caplog.text == ""
    assert (first.state, second.state) == ("draft", "approved")
    assert first.probabilities == second.probabilities


def test_a_prediction_says_when_it_is_not_sure() -> None:
    unsure = Prediction("a", "x", {"x": 0.6, "y": 0.4}, "draft", 0.7)
    sure = Prediction("a", "x", {"x": 0.7, "y": 0.3}, "draft", 0.7)
    assert (unsure.abstains, sure.abstains) == (True, False)
    assert unsure.to_dict()["abstains"] is True
    without = Prediction("a", "x", {"x": 0.6, "y": 0.4})
    assert not without.abstains
    assert "abstains" not in without.to_dict()


def test_each_use_is_in_the_ledger(draft: str, shared: Workspace) -> None:
    predict_pixels(draft, PIXELS * 2, shared, who="Dr. Cy")
    predict_pixels(draft, PIXELS, shared, record_access=False)
    [entry] = shared.ledger.entries(ACCESS_KIND, draft)
    assert {**entry.record, "run_id": None} == {
        "act": "predict", "who": "Dr. Cy", "images": 2, "state": "draft", "run_id": None,
        "request_id": shared.registry.describe(draft).request_id,
    }  # fmt: skip


def test_a_sealed_record_is_compared_and_an_erased_one_refused(
    draft: str, shared: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ClassifierCache()
    for _ in range(2):
        predict_pixels(draft, PIXELS, shared, cache=cache)
    with monkeypatch.context() as patched:
        other = shared.registry.load(draft)
        other.weights_sha256 = "0" * 64
        patched.setattr(type(shared.registry), "load", lambda *_: other)
        with pytest.raises(IntegrityError, match="weights_hmac"):
            load_verified(draft, shared)
    shared.ledger.record_keys.erase(shared.registry.describe(draft).request_id)
    assert len(cache) == 1
    for use in (lambda: cache.load(draft, shared), lambda: load_verified(draft, shared)):
        with pytest.raises(IntegrityError, match="was erased"):
            use()
    assert len(cache) == 0


def test_an_alias_that_was_moved_by_hand_is_refused(draft: str, shared: Workspace) -> None:
    name = draft.split("/")[1]
    shared.registry.client.set_registered_model_alias(name, "approved", "1")
    cache = ClassifierCache()
    cache.load(draft, shared)
    for use in (load_verified, cache.load):
        with pytest.raises(IntegrityError, match=r"stands for version 1, which is draft"):
            use(f"models:/{name}@approved", shared)
    review.repair_labels(draft, shared)
    with pytest.raises(UnknownNameError):
        load_verified(f"models:/{name}@approved", shared)


def test_a_cached_classifier_follows_the_ledger(draft: str, shared: Workspace) -> None:
    cache = ClassifierCache()
    first = cache.load(draft, shared)
    approved = approve(draft, shared)
    second = cache.load(approved, shared)
    assert second.classifier is first.classifier
    assert (first.state, second.state) == ("draft", "approved")
    review.archive(draft, shared, reviewer="Dr. Bo")
    with pytest.raises(UnknownNameError):
        cache.load(approved, shared)
    assert cache.load(draft, shared).state == "archived"


def test_the_cache_keeps_the_newest_and_evicts(synthesized: str, shared: Workspace) -> None:
    uris = [copy_draft(shared, synthesized) for _ in range(3)]
    cache = ClassifierCache(2)
    for uri in uris:
        cache.load(uri, shared)
    assert len(cache) == 2
    assert [cache.evict(uri) for uri in uris] == [0, 1, 1]
    request_id = cache.load(uris[0], shared).version.request_id
    assert cache.evict("") == 0
    assert cache.evict(request_id) == 1
    shared.registry.client.delete_model_version(uris[1].split("/")[1], "1")
    with pytest.raises(UnknownNameError):
        cache.load(uris[1], shared)
    with pytest.raises(ValueError, match="1 or more"):
        ClassifierCache(0)
