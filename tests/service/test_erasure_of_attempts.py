"""Erasing what attempts at a request left in MLflow before one of them was recorded."""

from __future__ import annotations

import pytest
from recorded_home import RecordedHome

from sgps.errors import StoreError
from sgps.registry import ModelRegistry, RegisteredVersion
from sgps.registry.contents import find_stored, list_versions
from sgps.registry.erasing import ErasedContents, erase_contents
from sgps.service.erasure import ErasureSelection, erase
from sgps.service.workspace import Workspace
from sgps.settings import Settings

WHY = {"by": "Dr. Eve", "reason": "Consent was withdrawn."}
LEFT = "Words that an attempt left"


@pytest.fixture
def settings(home: RecordedHome) -> Settings:
    return home.settings


def leave_attempt(workspace: Workspace, home: RecordedHome) -> RegisteredVersion:
    """A run of the first model's request as an attempt before it left it, with its version."""
    client = workspace.registry.client
    kept = client.get_run(home.first.run_id)
    tags = {name: kept.data.tags[name] for name in ("request_id", "task", "image_hashes")}
    run = client.create_run(
        kept.info.experiment_id, tags={**tags, "purpose": LEFT, "mlflow.note.content": LEFT}
    )
    made = client.create_model_version(
        home.first.model_name,
        f"{run.info.artifact_uri}/model",
        run.info.run_id,
        {**tags, "purpose": LEFT, "state": "unfinished"},
        description=LEFT,
    )
    version, uri = str(made.version), f"models:/{made.name}/{made.version}"
    return RegisteredVersion(made.name, version, uri, "", run.info.run_id)


def test_what_attempts_left_is_erased_though_it_was_discarded_before(
    workspace: Workspace, home: RecordedHome
) -> None:
    client = workspace.registry.client
    for _ in range(2):
        left = leave_attempt(workspace, home)
        client.delete_model_version(left.model_name, left.version)
        client.delete_run(left.run_id)
    assert LEFT.encode() in home.content()
    erase(ErasureSelection(image=home.digest("melanoma-0")), workspace, **WHY)
    content = home.content()
    assert LEFT.encode() not in content
    assert home.digest("melanoma-0")[:12].encode() not in content


def test_a_version_that_an_attempt_left_is_erased_without_its_run(
    workspace: Workspace, home: RecordedHome
) -> None:
    left = leave_attempt(workspace, home)
    workspace.registry.client.delete_run(left.run_id)
    erase(ErasureSelection(model_uri=home.first.model_uri), workspace, **WHY)
    assert len(list_versions(workspace.registry)) == 3
    assert LEFT.encode() not in home.content()


def test_versions_that_attempts_left_go_before_their_runs(
    workspace: Workspace, home: RecordedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leave_attempt(workspace, home)

    def erase_and_lose_the_store(registry: ModelRegistry, run_id: str) -> ErasedContents:
        found = erase_contents(registry, run_id)
        if run_id == left.run_id:
            raise StoreError("the store went away")
        return found

    chosen = ErasureSelection(model_uri=home.first.model_uri)
    with monkeypatch.context() as patch:
        patch.setattr("sgps.service.erasure.erase_contents", erase_and_lose_the_store)
        with pytest.raises(StoreError, match="went away"):
            erase(chosen, workspace, **WHY)
    assert find_stored(workspace.registry, left.model_name, left.version) is None
    erase(chosen, workspace, **WHY)
    assert LEFT.encode() not in home.content()
