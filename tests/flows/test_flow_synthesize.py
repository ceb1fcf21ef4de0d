"""Flow synthesize: a request to a registered model that knows its flow run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from flows.synthesize import synthesize
from flows.versions import FLOW_VERSIONS
from sgps.datasets import StoredDataset
from sgps.errors import RequestError, StoreError
from sgps.registry import ModelRegistry, RegisteredVersion
from sgps.service import SynthesisRequest
from sgps.service.versions import STEP_VERSIONS
from sgps.service.workspace import open_workspace
from sgps.settings import load_settings

pytestmark = pytest.mark.usefixtures("prefect_server", "home")


@pytest.fixture
def lesions(phantom_root: Path, tmp_path: Path) -> Path:
    dataset = StoredDataset.open(phantom_root / "phantom")
    for kind in ("angioma", "melanoma"):
        row = int(dataset.frame.index[dataset.frame["label"] == kind][0])
        (tmp_path / "lesions" / kind).mkdir(parents=True)
        (tmp_path / "lesions" / kind / "0.png").write_bytes(dataset.png_bytes(row))
    return tmp_path / "lesions"


def test_the_record_names_the_run_and_the_versions(lesions: Path) -> None:
    request = SynthesisRequest.from_folder(lesions, "Dr. Ada", "a test", task="Two lesions")
    receipt = synthesize(request)
    assert receipt["model_uri"] == "models:/two-lesions/1"
    with open_workspace(load_settings()) as workspace:
        [entry] = workspace.ledger.entries(subject=receipt["model_uri"])
        classifier = workspace.registry.load(receipt["model_uri"])
    recorded = entry.record["audit"]["flow"]
    assert (recorded["name"], recorded["version"]) == ("synthesize", FLOW_VERSIONS["synthesize"])
    assert recorded["steps"] == STEP_VERSIONS
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(recorded["run_id"])
    assert run.state is not None
    assert run.state.is_completed()
    assert run.flow_version == FLOW_VERSIONS["synthesize"]
    assert classifier.weights_sha256 == receipt["weights_sha256"]


def test_a_bad_request_registers_nothing(lesions: Path) -> None:
    shutil.copy(lesions / "angioma" / "0.png", lesions / "melanoma" / "1.png")
    with pytest.raises(RequestError, match="angioma"):
        synthesize(SynthesisRequest.from_folder(lesions, "Dr. Ada", "a test"))
    with open_workspace(load_settings()) as workspace:
        assert workspace.registry.search() == []
        assert workspace.ledger.entries() == []


def test_the_same_request_gives_the_same_version(lesions: Path) -> None:
    request = SynthesisRequest.from_folder(lesions, "Dr. Ada", "a test")
    assert synthesize(request) == synthesize(request)
    with open_workspace(load_settings()) as workspace:
        assert len(workspace.registry.search()) == 1
        assert len(workspace.ledger.entries()) == 1


def test_a_store_that_fails_is_tried_again(lesions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = iter([StoreError("the registry is full")])
    register = ModelRegistry.register

    def fail_once(self: ModelRegistry, *arguments: Any, **options: Any) -> RegisteredVersion:
        for error in failing:
            raise error
        return register(self, *arguments, **options)

    monkeypatch.setattr(ModelRegistry, "register", fail_once)
    receipt = synthesize(SynthesisRequest.from_folder(lesions, "Dr. Ada", "a test"))
    assert receipt["version"] == "1"
