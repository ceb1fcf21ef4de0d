"""Drafts that cost no synthesis: further models of one run, each recorded on its own."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from sgps.audit import seal_record
from sgps.service.requests import SynthesisRequest
from sgps.service.synthesis import LEDGER_KIND, synthesize_request
from sgps.service.workspace import Workspace
from sgps.synthesizer import Synthesizer

_NUMBERS = itertools.count(1)
_FORGOTTEN = ("weights_hmac", "description_hmac")


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
    """Register the run of ``model_uri`` once more, as a model of its own, and record it.

    The record is sealed, with a key of its own.
    """
    source = workspace.registry.describe(model_uri)
    client = workspace.registry.client
    number = next(_NUMBERS)
    name = model_name or f"copy-{number}"
    request_id = f"{number:032x}"
    if not model_name:
        client.create_registered_model(name)
    stored = client.get_model_version(source.model_name, source.version)
    copy = client.create_model_version(
        name,
        source=stored.source,
        run_id=stored.run_id,
        tags={**stored.tags, "state": "draft", "request_id": request_id},
        description=stored.description,
    )
    uri = f"models:/{name}/{copy.version}"
    classifier = workspace.registry.load(model_uri)
    [entry] = workspace.ledger.entries(LEDGER_KIND, model_uri)
    audit = dict(entry.record["audit"]) | {"request_id": request_id}
    outputs = {
        name: value for name, value in audit["outputs"].items() if name not in _FORGOTTEN
    } | {
        "weights_sha256": classifier.weights_sha256,
        "description_sha256": classifier.description_sha256,
    }
    sealed = seal_record(
        audit | {"outputs": outputs}, workspace.ledger.record_keys.create(request_id)
    )
    registered = entry.record["registered"] | {"version": str(copy.version), "model_uri": uri}
    workspace.ledger.append(LEDGER_KIND, uri, {"registered": registered, "audit": sealed})
    return uri
