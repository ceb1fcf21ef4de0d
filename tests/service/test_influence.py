"""What the images of a finished request do, as recorded."""

from __future__ import annotations

import shutil
from pathlib import Path

from sgps.service.exactly_once import submit, synthesize_once
from sgps.service.influence import recorded_influence
from sgps.service.requests import SynthesisRequest
from sgps.service.workspace import Workspace
from sgps.synthesizer import Synthesizer


def test_an_image_left_out_keeps_its_number(
    task_folder: Path, workspace: Workspace, generator: Synthesizer
) -> None:
    shutil.copy(task_folder / "naevus" / "0.png", task_folder / "naevus" / "00.png")
    request = SynthesisRequest.from_folder(task_folder, "Dr. Ada", "a study")
    sent = submit(request, workspace, generator)
    assert recorded_influence(sent.request_id, workspace) == []
    receipt = synthesize_once(request, workspace, generator)
    told = recorded_influence(receipt.request_id, workspace)
    names = [item.name for item in request.classes]
    assert [item["class"] for item in told] == names
    (naevus,) = (item["images"] for item in told if item["class"] == "naevus")
    assert [image["image"] for image in naevus] == [1, 3]
    (entry,) = workspace.ledger.entries("synthesize")
    measured = entry.record["audit"]["outputs"]["details"]["influence"]
    audit = workspace.registry.audit_record(receipt.run_id)
    for place, item in enumerate(told):
        recorded = audit["inputs"]["classes"][place]["images"]
        assert [image["pixel_sha256"] for image in item["images"]] == [
            image["pixel_sha256"] for image in recorded
        ]
        for image, facts in zip(item["images"], measured[place], strict=True):
            probabilities = facts["probabilities_without_it"]
            assert image["taken_for"] == names[probabilities.index(max(probabilities))]


def test_without_the_version_no_digest_is_told(
    task_folder: Path, workspace: Workspace, generator: Synthesizer
) -> None:
    request = SynthesisRequest.from_folder(task_folder, "Dr. Ada", "a study")
    receipt = synthesize_once(request, workspace, generator)
    shutil.rmtree(workspace.settings.artifact_folder)
    told = recorded_influence(receipt.request_id, workspace)
    assert {image["pixel_sha256"] for item in told for image in item["images"]} == {None}
    assert [len(item["images"]) for item in told] == [2, 2, 2]
