"""An erasure takes the flow runs whose parameters hold the request, or says which are left."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.settings import PREFECT_API_URL
from servers import free_port

from flows.synthesize import synthesize
from sgps.datasets import StoredDataset
from sgps.errors import RequestError, UnknownNameError
from sgps.service import SynthesisRequest
from sgps.service.erasure import ErasureSelection, erase, plan_erasure
from sgps.service.workspace import open_workspace
from sgps.settings import load_settings

pytestmark = pytest.mark.usefixtures("prefect_server", "home")

WHY = {"by": "Dr. Eve", "reason": "Consent was withdrawn."}


@pytest.fixture
def lesions(phantom_root: Path, tmp_path: Path) -> Path:
    dataset = StoredDataset.open(phantom_root / "phantom")
    folder = tmp_path / "lesions"
    folder.mkdir()
    for kind in ("angioma", "melanoma"):
        rows = dataset.frame.index[dataset.frame["label"] == kind]
        for number in range(2):
            (folder / f"{kind}-{number}.png").write_bytes(dataset.png_bytes(int(rows[number])))
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> str:
    address = str(PREFECT_API_URL.value())
    monkeypatch.setenv("PREFECT_API_URL", address)
    return address


def request_of(folder: Path, task: str, number: int, person: str) -> SynthesisRequest:
    classes = [
        {"name": kind, "images": [f"{kind}-{number}.png"], "persons": [person]}
        for kind in ("angioma", "melanoma")
    ]
    fields = {"task": task, "requester": "Dr. Ada", "purpose": "A test.", "classes": classes}
    return SynthesisRequest.parse(fields, folder=folder)


def runs_of(*persons: str) -> dict[str, list[Any]]:
    """The flow runs that name each person."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs()
    return {name: [run for run in runs if name in str(run.parameters)] for name in persons}


def artifacts_of(run_ids: list[UUID]) -> list[Any]:
    chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=run_ids))
    with get_client(sync_client=True) as client:
        return list(client.read_artifacts(artifact_filter=chosen))


@pytest.mark.usefixtures("server")
def test_every_run_that_named_the_person_goes_however_it_ended(lesions: Path) -> None:
    first = request_of(lesions, "One", 0, "walrus")
    synthesize(first)
    synthesize(first)
    shutil.copy(lesions / "angioma-1.png", lesions / "melanoma-1.png")
    with pytest.raises(RequestError):
        synthesize(request_of(lesions, "Refused", 1, "walrus"))
    synthesize(request_of(lesions, "Two", 0, "otter"))
    before = runs_of("walrus", "otter")
    assert (len(before["walrus"]), len(before["otter"])) == (3, 1)
    ids = [run.id for run in before["walrus"]]
    assert {one.key for one in artifacts_of(ids)} >= {"receipt"}
    with open_workspace(load_settings()) as workspace:
        plan = plan_erasure(ErasureSelection(person="walrus"), workspace)
        assert set(plan.flow_runs) == set(map(str, ids))
        assert [target.model_uri for target in plan.targets] == ["models:/one/1"]
        outcome = erase(ErasureSelection(person="walrus"), workspace, **WHY)
        assert outcome.flow_runs == 3
        assert workspace.ledger.get(outcome.entry).record["flow_runs"] == 3
        with pytest.raises(UnknownNameError, match="nothing is kept"):
            plan_erasure(ErasureSelection(person="walrus"), workspace)
    assert {name: len(runs) for name, runs in runs_of("walrus", "otter").items()} == {
        "walrus": 0,
        "otter": 1,
    }
    assert artifacts_of(ids) == []


@pytest.mark.usefixtures("server")
def test_runs_of_the_same_request_go_with_its_image(lesions: Path) -> None:
    request = request_of(lesions, "Seals", 0, "seal")
    synthesize(request)
    synthesize(request)
    with open_workspace(load_settings()) as workspace:
        image = ErasureSelection(image=str(lesions / "angioma-0.png"))
        assert erase(image, workspace, **WHY).flow_runs == 2
    assert runs_of("seal") == {"seal": []}


def test_runs_that_cannot_be_reached_are_named_and_go_later(
    lesions: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize(request_of(lesions, "Orcas", 0, "orca"))
    [run] = runs_of("orca")["orca"]
    chosen = ErasureSelection(model_uri="models:/orcas/1")
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    with open_workspace(load_settings()) as workspace:
        outcome = erase(chosen, workspace, **WHY)
        [note] = [note for note in outcome.notes if "Prefect" in note]
        assert f"prefect flow-run delete {run.id}" in note
        assert "nothing answers" in note
        with pytest.raises(UnknownNameError, match=str(run.id)):
            plan_erasure(chosen, workspace)
        monkeypatch.setenv("PREFECT_API_URL", server)
        again = erase(chosen, workspace, **WHY)
        assert (again.erased, again.flow_runs) == ((), 1)
    with get_client(sync_client=True) as client:
        chosen_run = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        assert client.read_flow_runs(flow_run_filter=chosen_run) == []
