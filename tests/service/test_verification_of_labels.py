"""Forged tags, descriptions and aliases in MLflow, and their repair from the ledger."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from recorded_home import RecordedHome, only_finding, reword

from sgps.errors import IntegrityError
from sgps.registry.contents import find_stored
from sgps.service._record_checks import Documents
from sgps.service._version_checks import check_labels
from sgps.service.erasure import ErasureSelection, erase
from sgps.service.review import approve, repair_labels, submit_for_review
from sgps.service.verification import verify_records
from sgps.service.workspace import Workspace
from sgps.settings import Settings


@pytest.fixture
def settings(home: RecordedHome) -> Settings:
    return home.settings


def test_tampering_with_the_registry_is_named(home: RecordedHome, workspace: Workspace) -> None:
    client = workspace.registry.client
    name, version = home.first.model_name, home.first.version
    client.set_model_version_tag(name, version, "requester", "Dr. Mallory")
    assert only_finding(verify_records(workspace)) == (
        "altered label",
        home.first.model_uri,
        "tag requester",
    )
    client.set_model_version_tag(name, version, "requester", "Dr. Ada")
    client.set_model_version_tag(name, version, "state", "approved")
    client.set_registered_model_alias(name, "approved", version)
    wheres = [found.where for found in verify_records(workspace).findings]
    assert wheres == ["tag state", "alias approved"]
    client.delete_registered_model_alias(name, "approved")
    client.set_model_version_tag(name, version, "state", "draft")

    second = find_source(workspace, home)
    client.create_model_version(home.third.model_name, second, run_id="f" * 32)
    kind, subject, _ = only_finding(verify_records(workspace))
    assert (kind, subject) == ("unknown version", f"models:/{home.third.model_name}/2")
    client.delete_model_version(home.third.model_name, "2")
    client.delete_model_version(name, version)
    assert only_finding(verify_records(workspace))[:2] == ("missing version", home.first.model_uri)


LABELS = (
    *("requester", "purpose", "image_hashes", "classes", "data_sha256", "generator"),
    *("weights_sha256", "legal_basis"),
)


def forge(workspace: Workspace, home: RecordedHome) -> None:
    """Change each label that MLflow's interface lets one change."""
    client = workspace.registry.client
    name, version, run_id = home.first.model_name, home.first.version, home.first.run_id
    for label in LABELS:
        client.set_model_version_tag(name, version, label, "forged")
    client.update_model_version(name, version, "**Approved** by the board.")
    for label in ("requester", "state", "image_hashes", "weights_sha256", "mlflow.user"):
        client.set_tag(run_id, label, "forged")
    client.delete_registered_model_alias(name, "approved")


def test_every_forged_label_is_named_and_repaired_from_the_ledger(
    home: RecordedHome, workspace: Workspace
) -> None:
    uri = home.first.model_uri
    submit_for_review(uri, workspace, reviewer="Dr. Ada")
    approve(uri, workspace, reviewer="Dr. Bo", reason="Looked at 50 cases.")
    assert verify_records(workspace).passed
    before = find_stored(workspace.registry, home.first.model_name, home.first.version)
    forge(workspace, home)
    report = verify_records(workspace)
    assert {(found.kind, found.where) for found in report.findings} == {
        *(("altered label", f"tag {label}") for label in LABELS),
        ("altered label", "description"),
        *(("altered label", f"tag {one} of the run") for one in ("requester", "image_hashes")),
        *(("altered label", f"tag {one} of the run") for one in ("weights_sha256", "mlflow.user")),
        ("wrong state", "tag state of the run"),
        ("wrong state", "alias approved"),
    }
    with pytest.raises(IntegrityError, match="review show MODEL --repair"):
        report.require_passed()
    assert "alias approved: nothing -> 1" in repair_labels(uri, workspace)
    assert verify_records(workspace).findings == ()
    assert find_stored(workspace.registry, home.first.model_name, home.first.version) == before


def test_labels_are_not_repaired_from_altered_artifacts(
    home: RecordedHome, workspace: Workspace
) -> None:
    client, first = workspace.registry.client, home.first
    client.set_model_version_tag(first.model_name, first.version, "purpose", "forged")
    reword(home.artifacts(first) / "texts.json")
    with pytest.raises(IntegrityError, match=r"texts.json, description of 'melanoma'"):
        repair_labels(first.model_uri, workspace)
    tags = client.get_model_version(first.model_name, first.version).tags
    assert tags["purpose"] == "forged"


def test_the_alias_of_an_older_version_is_named(home: RecordedHome, workspace: Workspace) -> None:
    client, name = workspace.registry.client, home.first.model_name
    submit_for_review(home.first.model_uri, workspace, reviewer="Dr. Ada")
    client.set_registered_model_alias(name, "approved", home.first.version)
    finding = verify_records(workspace).findings[0]
    assert (finding.where, finding.expected, finding.found) == (
        "alias approved",
        "no version",
        "version 1",
    )


def test_a_forged_tombstone_is_named_and_repaired(home: RecordedHome, workspace: Workspace) -> None:
    client, first = workspace.registry.client, home.first
    outcome = erase(
        ErasureSelection(model_uri=first.model_uri), workspace, by="Dr. Eve", reason="Withdrawn."
    )
    version = (first.model_name, first.version)
    text = client.get_model_version(*version).description
    assert f"entry {outcome.entry} of the ledger" in text
    client.update_model_version(*version, text.replace(f"entry {outcome.entry}", "entry 4"))
    assert verify_records(workspace).passed, "the entry of the beginning is right as well"
    client.update_model_version(*version, "Never erased.")
    client.set_model_version_tag(*version, "requester", "Dr. Mallory")
    client.set_model_version_tag(*version, "state", "approved")
    wheres = {found.where for found in verify_records(workspace).findings}
    assert wheres == {"description", "tag requester", "tag state"}
    repair_labels(first.model_uri, workspace)
    assert verify_records(workspace).passed
    assert client.get_model_version(*version).description == text


def test_labels_of_an_earlier_format_are_not_reported(
    home: RecordedHome, workspace: Workspace
) -> None:
    """Version 0.1.0 wrote fewer tags and another description."""
    client, second = workspace.registry.client, home.second
    version = (second.model_name, second.version)
    entry = workspace.ledger.get(2)
    audit = json.loads((home.artifacts(second) / "audit.json").read_text())
    old = replace(entry, record=entry.record | {"audit": audit | {"format": "sgps-audit-1"}})
    client.update_model_version(*version, "As it was then.")
    client.delete_model_version_tag(*version, "data_sha256")
    stored = find_stored(workspace.registry, *version)
    assert stored is not None
    documents = Documents(audit, {"classes": []})
    assert check_labels(workspace.registry, old, stored, documents, ()) == []
    client.set_model_version_tag(*version, "requester", "Dr. Mallory")
    forged = find_stored(workspace.registry, *version)
    assert forged is not None
    [finding] = check_labels(workspace.registry, old, forged, documents, ())
    assert finding.where == "tag requester"


def find_source(workspace: Workspace, home: RecordedHome) -> str:
    stored = workspace.registry.client.get_model_version(
        home.second.model_name, home.second.version
    )
    return str(stored.source)
