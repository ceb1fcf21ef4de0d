"""A request becomes a registered, recorded version, or nothing at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sgps.audit import Outbox, seal_record
from sgps.datasets.decoding import read_image
from sgps.errors import ImageError, RequestError, StoreError
from sgps.service._spool import Spool
from sgps.service.prediction import load_verified
from sgps.service.provenance import FlowIdentity
from sgps.service.requests import SynthesisRequest
from sgps.service.support import find_support
from sgps.service.synthesis import SynthesisReceipt, check_request, synthesize_request
from sgps.service.versions import STEP_VERSIONS
from sgps.service.workspace import Workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer


@pytest.fixture
def request_of_folder(task_folder: Path) -> SynthesisRequest:
    return SynthesisRequest.from_folder(task_folder, "Dr. Ada", "study <b>one</b>")


@pytest.fixture
def receipt(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> SynthesisReceipt:
    return synthesize_request(request_of_folder, workspace, generator)


def artifacts_of(workspace: Workspace, receipt: SynthesisReceipt) -> Path:
    return workspace.settings.artifact_folder / receipt.run_id / "artifacts"


def leftovers(workspace: Workspace) -> list[Any]:
    """Everything that a failed synthesis could have left visible."""
    client = workspace.registry._client
    experiment = client.get_experiment_by_name("sgps-synthesis")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    folder = workspace.settings.artifact_folder
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
    return [
        *runs, *files, *client.search_model_versions(),
        *workspace.ledger.entries(), *Spool(workspace.settings.home_folder).request_ids(),
    ]  # fmt: skip


def test_the_receipt_says_where_the_model_is(
    receipt: SynthesisReceipt, workspace: Workspace
) -> None:
    assert receipt.model_name == "skin-marks"
    assert receipt.version == "1"
    assert receipt.model_uri == "models:/skin-marks/1"
    assert receipt.tracking_uri == workspace.settings.resolved_tracking_uri
    assert 0 < receipt.seconds < 60
    assert set(receipt.to_dict()) >= {
        "request_id", "model_name", "version", "model_uri", "tracking_uri", "run_id",
        "weights_sha256", "seconds",
    }  # fmt: skip
    json.dumps(receipt.to_dict())


def test_the_version_holds_images_texts_request_and_record(
    receipt: SynthesisReceipt, workspace: Workspace, task_folder: Path
) -> None:
    folder = artifacts_of(workspace, receipt)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "audit.json", "card.html", "generator", "model", "request.json", "support", "texts.json",
    ]  # fmt: skip
    card = folder / "generator" / "README.md"
    assert "Model card: generator `default`" in card.read_text()
    assert not list(folder.rglob("*.pkl"))
    stored = sorted((folder / "support" / "naevus").iterdir())
    original = read_image(task_folder / "naevus" / "0.png")
    assert stored[0].name == f"1-{original.pixel_sha256[:12]}.png"
    assert np.array_equal(read_image(stored[0]).pixels, original.pixels)
    texts = json.loads((folder / "texts.json").read_text())
    text = "Asymmetric, several colours."
    assert texts["classes"][0] == {
        "name": "melanoma",
        "description": text,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    request = json.loads((folder / "request.json").read_text())
    assert request["classes"][2]["images"] == ["wart/0.png", "wart/1.png"]


def test_the_audit_record_is_complete(
    receipt: SynthesisReceipt, workspace: Workspace, generator: Synthesizer, task_folder: Path
) -> None:
    audit = json.loads((artifacts_of(workspace, receipt) / "audit.json").read_text())
    assert audit["request_id"] == receipt.request_id
    assert audit["who"] == {
        "requester": "Dr. Ada", "role": "steward", "authentication": "none"
    }  # fmt: skip
    assert audit["why"] == {"purpose": "study <b>one</b>", "legal_basis": "not stated"}
    assert audit["key"] is None
    assert {check["check"] for check in audit["checks"]} >= {"too_small"}
    assert audit["warnings"] == [check["finding"] for check in audit["checks"]]
    assert audit["calibration"]["temperature"] > 0
    assert audit["when"]["requested"] <= audit["when"]["synthesized"]
    image = audit["inputs"]["classes"][1]["images"][0]
    data = (task_folder / "naevus" / "0.png").read_bytes()
    assert image["file_sha256"] == hashlib.sha256(data).hexdigest()
    assert image["name"] == "naevus/0.png"
    assert image["deidentification"] == {"removed": [], "re_encoded": True, "format": "PNG"}
    assert (artifacts_of(workspace, receipt) / image["artifact"]).is_file()
    assert audit["outputs"]["weights_sha256"] == receipt.weights_sha256
    assert audit["generator"]["sha256"] == generator.generator_sha256
    assert audit["data_version"] == {"kind": "training data", "sha256": "ab" * 32}
    assert audit["flow"]["steps"] == STEP_VERSIONS
    assert {"torch", "mlflow", "numpy"} <= set(audit["environment"]["libraries"])
    assert audit["device"] == "cpu"
    assert "seed" in audit
    assert set(audit["seconds"]) >= {"decode_support", "synthesize_weights"}
    assert "Asymmetric" not in json.dumps(audit)


def test_the_ledger_holds_the_act_and_finds_it(
    receipt: SynthesisReceipt, workspace: Workspace, task_folder: Path
) -> None:
    digest = read_image(task_folder / "wart" / "1.png").pixel_sha256
    for terms in (
        {"request_id": receipt.request_id}, {"model_name": "skin-marks", "version": "1"},
        {"requester": "Dr. Ada"}, {"task": "Skin marks"}, {"image": digest},
        {"weights": receipt.weights_sha256},
    ):  # fmt: skip
        (entry,) = workspace.ledger.find(**terms)
        assert entry.subject == "models:/skin-marks/1"
    assert entry.kind == "synthesize"
    assert entry.record["registered"]["run_id"] == receipt.run_id
    stored = json.loads((artifacts_of(workspace, receipt) / "audit.json").read_text())
    key = workspace.ledger.record_keys.get(receipt.request_id)
    assert key is not None
    assert entry.record["audit"] == seal_record(stored, key)
    kept = json.dumps(entry.record)
    assert digest not in kept
    assert receipt.weights_sha256 not in kept
    assert "wart/1.png" not in kept
    assert workspace.ledger.verify().passed


def test_the_same_task_with_another_purpose_is_the_next_version(
    receipt: SynthesisReceipt, task_folder: Path, workspace: Workspace, generator: Synthesizer
) -> None:
    other = SynthesisRequest.from_folder(task_folder, "Dr. Ada", "study two")
    again = synthesize_request(other, workspace, generator)
    assert again.model_uri == "models:/skin-marks/2"
    assert again.weights_sha256 == receipt.weights_sha256
    assert again.request_id != receipt.request_id


def test_the_flow_run_goes_into_the_record(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    flow = FlowIdentity("synthesize", "7", "run-1", {"decode": "2"})
    steps: list[str] = []
    synthesize_request(request_of_folder, workspace, generator, flow=flow, progress=steps.append)
    record = workspace.ledger.get(1).record["audit"]["flow"]
    assert record == {
        "name": "synthesize", "version": "7", "run_id": "run-1", "steps": {"decode": "2"}
    }  # fmt: skip
    assert steps[0] == "check_request"
    assert steps[-4:] == ["record_in_ledger", "finish_version", "remove_request", "done"]


def test_the_loaded_model_predicts_like_the_synthesized(
    receipt: SynthesisReceipt, workspace: Workspace, task_folder: Path
) -> None:
    classifier = load_verified(receipt.model_uri, workspace)
    assert classifier.weights_sha256 == receipt.weights_sha256
    assert classifier.class_names == ("melanoma", "naevus", "wart")


def test_html_in_texts_is_escaped_in_the_card(
    receipt: SynthesisReceipt, workspace: Workspace
) -> None:
    card = (artifacts_of(workspace, receipt) / "card.html").read_text()
    assert "study &lt;b&gt;one&lt;/b&gt;" in card
    assert "<b>one</b>" not in card
    assert card.count("data:image/png;base64,") == 6


def refuse(
    request: SynthesisRequest, workspace: Workspace, generator: Synthesizer, kind: type[Exception]
) -> str:
    before = leftovers(workspace)
    with pytest.raises(kind) as caught:
        synthesize_request(request, workspace, generator)
    assert leftovers(workspace) == before == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unreadable_image_is_named_by_field_and_file(
    task_folder: Path, workspace: Workspace, generator: Synthesizer
) -> None:
    (task_folder / "naevus" / "1.png").write_bytes(b"no image")
    request = SynthesisRequest.from_folder(task_folder, "r", "p")
    message = refuse(request, workspace, generator, ImageError)
    assert message.startswith("classes[1].images[1]: ")
    assert "naevus/1.png" in message


def test_a_huge_image_is_refused(
    task_folder: Path, workspace: Workspace, generator: Synthesizer
) -> None:
    Image.new("L", (8_000, 8_000)).save(task_folder / "naevus" / "1.png")
    request = SynthesisRequest.from_folder(task_folder, "r", "p")
    assert "at most 50,000,000 pixels" in refuse(request, workspace, generator, ImageError)


def test_an_image_in_two_classes_names_both_files(
    task_folder: Path, workspace: Workspace, generator: Synthesizer
) -> None:
    shutil.copy(task_folder / "melanoma" / "0.png", task_folder / "wart" / "z.png")
    request = SynthesisRequest.from_folder(task_folder, "r", "p")
    message = refuse(request, workspace, generator, RequestError)
    assert "melanoma/0.png of class 'melanoma' and wart/z.png of class 'wart'" in message


def test_a_duplicate_within_a_class_is_left_out_with_a_warning(
    task_folder: Path, workspace: Workspace, generator: Synthesizer
) -> None:
    image = Image.open(task_folder / "wart" / "0.png")
    image.save(task_folder / "wart" / "z.bmp")
    request = SynthesisRequest.from_folder(task_folder, "r", "p")
    receipt = synthesize_request(request, workspace, generator)
    assert (
        receipt.warnings[0]
        == "class 'wart': wart/z.bmp shows the same as wart/0.png and was left out"
    )
    audit = workspace.ledger.get(1).record["audit"]
    check = audit["checks"][0]
    assert check["finding"] == "class 'wart': image 3 shows the same as image 1 and was left out"
    assert (check["check"], check["label"], check["image"]) == ("duplicate", "wart", 3)
    assert len(audit["inputs"]["classes"][2]["images"]) == 2


def test_one_file_listed_twice_is_taken_once(task_file: Path, workspace: Workspace,
                                             generator: Synthesizer) -> None:  # fmt: skip
    task_file.write_text(task_file.read_text().replace("melanoma/1.png", "melanoma/0.png"))
    receipt = synthesize_request(SynthesisRequest.from_yaml(task_file), workspace, generator)
    assert len([line for line in receipt.warnings if "left out" in line]) == 1


def test_a_text_too_long_is_refused(
    task_file: Path, workspace: Workspace, generator: Synthesizer
) -> None:
    long = SynthesisRequest.from_yaml(task_file).to_record()
    long["classes"][1]["description"] = "x" * 900_000
    request = SynthesisRequest.parse(long, folder=task_file.parent)
    message = refuse(request, workspace, generator, RequestError)
    assert message.startswith("classes[1].description: 900,000 characters; expected at most 8,000")


@pytest.mark.parametrize("path", ["../outside.png", "melanoma/../../outside.png", "link.png"])
def test_a_path_that_leaves_the_folder_is_refused(
    task_file: Path, write_image: Any, path: str
) -> None:
    outside = write_image(task_file.parent.parent / "outside.png", seed=99)
    (task_file.parent / "link.png").symlink_to(outside)
    task_file.write_text(task_file.read_text().replace("naevus/0.png", path))
    with pytest.raises(RequestError, match=r"classes\[1\]\.images\[0\]: "):
        find_support(SynthesisRequest.from_yaml(task_file))
    task_file.write_text(task_file.read_text().replace(path, str(outside)))
    assert find_support(SynthesisRequest.from_yaml(task_file)).paths[1] == (outside,)


@pytest.mark.parametrize("path", ["naevus/9.png", "naevus", "x" * 300 + ".png"])
def test_a_file_that_is_not_there_is_named(task_file: Path, path: str) -> None:
    task_file.write_text(task_file.read_text().replace("naevus/0.png", path))
    with pytest.raises(RequestError, match=r"classes\[1\]\.images\[0\]: "):
        check_request(SynthesisRequest.from_yaml(task_file), Settings())


def test_where_the_outbox_cannot_be_written_nothing_is_accepted(
    request_of_folder: SynthesisRequest,
    workspace: Workspace,
    generator: Synthesizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise StoreError("the ledger is full")

    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "accept", fail)
        assert refuse(request_of_folder, workspace, generator, StoreError) == "the ledger is full"
    assert Spool(workspace.settings.home_folder).request_ids() == []
    assert synthesize_request(request_of_folder, workspace, generator).version == "1"


@pytest.mark.parametrize("call", ["log_artifacts", "log_batch", "create_model_version"])
def test_where_registering_fails_midway_nothing_is_left(
    request_of_folder: SynthesisRequest,
    workspace: Workspace,
    generator: Synthesizer,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(workspace.registry._client, call, fail)
    with pytest.raises(StoreError, match=r"is accepted but not done.*no space left on device"):
        synthesize_request(request_of_folder, workspace, generator)
    (spooled,) = leftovers(workspace)
    monkeypatch.undo()
    assert synthesize_request(request_of_folder, workspace, generator).request_id == spooled
