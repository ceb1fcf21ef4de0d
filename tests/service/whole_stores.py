"""What must hold of the stores whenever nobody works on a request."""

from __future__ import annotations

from sgps.registry.contents import list_versions
from sgps.service._spool import Spool
from sgps.service.workspace import Workspace


def assert_whole(workspace: Workspace, versions: int = 1) -> None:
    """So many versions, each with its run, entry and files, and nothing besides."""
    runs = workspace.registry.request_runs()
    assert len(runs) == len(workspace.registry.search()) == versions
    assert len(list_versions(workspace.registry)) == versions
    entries = workspace.ledger.entries("synthesize")
    assert {run.version.model_uri for run in runs if run.version} == {e.subject for e in entries}
    assert {run.run_id for run in runs} == {e.record["registered"]["run_id"] for e in entries}
    assert len(entries) == versions
    assert workspace.ledger.verify().passed
    assert Spool(workspace.settings.home_folder).request_ids() == []
    folder = workspace.settings.artifact_folder
    weights = list(folder.rglob("classifier.safetensors")) if folder.exists() else []
    assert len(weights) == versions
    counts = workspace.ledger.outbox.counts()
    assert (counts["accepted"], counts["running"]) == (0, 0)
