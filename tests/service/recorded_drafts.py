"""Drafts that cost no synthesis: copies of one version, each recorded on its own."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from sgps.audit import seal_record
from sgps.service._file_digests import seal_files
from sgps.service.requests import SynthesisRequest
from sgps.service.review import repair_labels
from sgps.service.synthesis import LEDGER_KIND, synthesize_request
from sgps.service.workspace import Workspace
from sgps.synthesizer import Synthesizer

_NUMBERS = itertools.count(1)


def synthesize_draft(folder: Path, workspace: Workspace, generator: Synthesizer) -> str:
    """Address of a version that Dr. Ada asked for: two classes of two images."""
    rng = np.random.default_rng(3)
    for label in ("melanoma", "naevus"):
        (folder / label).mkdir(parents=True)
        for place in range(2):
            coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((48, 48)).save(folder / label / f"{place}.png")
    request = SynthesisRequest.from_folder(folder, "Dr. Ada", "study")
    return synthesize_request(request, workspace, generator).model_uri


def copy_draft(workspace: Workspace, model_uri: str, *, model_name: str = "") -> str:
    """Register a copy of ``model_uri``, with files of its own, as a model of its own; record it.

    The record is sealed, with a key of its own.
    """
    source = workspace.registry.describe(model_uri)
    client = workspace.registry.client
    number = next(_NUMBERS)
    name = model_name or f"copy-{number}"
    request_id = f"{number:032x}"
    if not model_name:
        client.create_registered_model(name)
    experiment = client.get_run(source.run_id).info.experiment_id
    run = client.create_run(experiment).info
    artifacts = workspace.settings.artifact_folder
    folder = artifacts / run.run_id / "artifacts"
    shutil.copytree(artifacts / source.run_id / "artifacts", folder)
    audit = json.loads((folder / "audit.json").read_text()) | {"request_id": request_id}
    (folder / "audit.json").write_text(json.dumps(audit))
    key = workspace.ledger.record_keys.create(request_id)
    sealed = {"audit": seal_record(audit, key), "files": seal_files(folder, key)}
    client.set_terminated(run.run_id)
    copy = client.create_model_version(
        name, source=f"{run.artifact_uri}/model", run_id=run.run_id, tags={"state": "draft"}
    )
    uri = f"models:/{name}/{copy.version}"
    [entry] = workspace.ledger.entries(LEDGER_KIND, model_uri)
    place = {"version": str(copy.version), "model_uri": uri, "run_id": run.run_id}
    record = {"registered": entry.record["registered"] | place, **sealed}
    workspace.ledger.append(LEDGER_KIND, uri, record)
    repair_labels(uri, workspace)
    return uri
