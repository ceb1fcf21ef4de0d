"""Tampering with ledger, registry and artifacts, and whether it is named."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image
from recorded_home import RecordedHome, only_finding, reword

from sgps.audit import canonical_json
from sgps.audit._chain import entry_digest
from sgps.errors import IntegrityError
from sgps.service.review import submit_for_review
from sgps.service.verification import verify_records
from sgps.service.workspace import Workspace
from sgps.settings import Settings

Alter = Callable[[Path], object]


@pytest.fixture
def settings(home: RecordedHome) -> Settings:
    return home.settings


def alter_ledger(home: RecordedHome, *statements: str, restore: bool = True) -> None:
    """Change the ledger as somebody would who can drop its triggers, and makes them again."""
    with closing(sqlite3.connect(home.settings.home_folder / "ledger.db")) as database:
        triggers = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            database.execute(f'DROP TRIGGER "{name}"')
        for statement in statements:
            database.execute(statement)
        for _, made in triggers if restore else ():
            database.execute(made)
        database.commit()


def test_untouched_records_pass(workspace: Workspace, home: RecordedHome) -> None:
    steps: list[tuple[int, int]] = []
    report = verify_records(workspace, progress=lambda done, total: steps.append((done, total)))
    assert report.findings == ()
    assert (report.entries, report.versions, report.erased) == (3, 3, ())
    assert steps == [(1, 3), (2, 3), (3, 3)]
    submit_for_review(home.first.model_uri, workspace, reviewer="Dr. Ada")
    assert verify_records(workspace).passed
    report.require_passed()


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        ("UPDATE ledger_entries SET subject = 'models:/other/1' WHERE number = 2", 2),
        ("UPDATE ledger_entries SET record = replace(record, 'A test', 'x') WHERE number = 3", 3),
        ("UPDATE ledger_entries SET record = 'no json' WHERE number = 1", 1),
        ("DELETE FROM ledger_entries WHERE number = 2", 2),
    ],
)
def test_an_edit_or_a_deletion_is_named(
    home: RecordedHome, workspace: Workspace, statement: str, entry: int
) -> None:
    alter_ledger(home, "PRAGMA foreign_keys=OFF", statement)
    report = verify_records(workspace, chain_only=True)
    assert report.findings[0].kind == "chain"
    assert report.findings[0].entry == entry
    whole = verify_records(workspace)
    assert whole.findings[0] == report.findings[0]
    with pytest.raises(IntegrityError, match=f"entry {entry}"):
        whole.require_passed()


def test_a_truncation_is_seen_with_a_checkpoint(home: RecordedHome, workspace: Workspace) -> None:
    checkpoint = workspace.ledger.checkpoint()
    alter_ledger(
        home,
        "PRAGMA foreign_keys=OFF",
        "DELETE FROM requests WHERE entry = 3",
        "DELETE FROM ledger_entries WHERE number = 3",
    )
    assert verify_records(workspace, chain_only=True).passed
    report = verify_records(workspace, chain_only=True, checkpoint=checkpoint)
    assert report.findings[0].entry == 3
    kinds = {(found.kind, found.subject) for found in verify_records(workspace).findings}
    assert ("unknown version", home.third.model_uri) in kinds


def test_a_ledger_without_its_triggers_is_named(home: RecordedHome, workspace: Workspace) -> None:
    alter_ledger(home, restore=False)
    report = verify_records(workspace, chain_only=True)
    assert {found.kind for found in report.findings} == {"missing protection"}
    assert len(report.findings) == 3
    assert verify_records(workspace).findings == report.findings
    with pytest.raises(IntegrityError, match="missing protection: the ledger: trigger"):
        report.require_passed()


@pytest.mark.parametrize("forgotten", [(), ("DELETE FROM requests",)])
def test_an_emptied_ledger_is_named(
    home: RecordedHome, workspace: Workspace, forgotten: tuple[str, ...]
) -> None:
    empty = ("DELETE FROM ledger_terms", "DELETE FROM ledger_entries")
    alter_ledger(home, "PRAGMA foreign_keys=OFF", *forgotten, *empty)
    report = verify_records(workspace, chain_only=True)
    assert report.entries == 0
    assert {found.kind for found in report.findings} == {"chain"}
    assert not report.passed


def test_a_ledger_that_was_forged_whole_does_not_match_the_artifacts(
    home: RecordedHome, workspace: Workspace
) -> None:
    """Whoever recomputes every digest of the chain still does not have the artifacts' digests."""
    entries = workspace.ledger.entries()
    previous = "0" * 64
    statements = []
    for entry in entries:
        text = canonical_json(entry.record)
        if entry.number == 2:
            record = json.loads(text)
            record["audit"]["why"]["purpose"] = "Another purpose."
            text = canonical_json(record)
        fields = (entry.number, entry.time, entry.kind, entry.subject, text, previous)
        digest = entry_digest(*fields)
        escaped = text.replace("'", "''")
        statements.append(
            f"UPDATE ledger_entries SET record = '{escaped}', previous_digest = '{previous}',"
            f" digest = '{digest}' WHERE number = {entry.number}"
        )
        previous = digest
    alter_ledger(home, *reversed(statements))
    report = verify_records(workspace)
    kind, subject, where = only_finding(report)
    assert (kind, subject) == ("altered artifact", home.second.model_uri)
    assert where == "audit.json why.purpose"


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def _repaint(path: Path) -> None:
    with Image.open(path) as image:
        changed = image.copy()
    changed.putpixel((3, 3), (1, 2, 3))
    changed.save(path)


def _append(path: Path) -> None:
    path.write_text(path.read_text() + "\n# more\n")


SUPPORT = "support/melanoma/1-*.png"
WEIGHTS = "model/data/classifier/classifier.safetensors"


@pytest.mark.parametrize(
    ("name", "alter", "kind"),
    [
        (WEIGHTS, _flip, "altered artifact"),
        (WEIGHTS, Path.unlink, "altered artifact"),
        ("model/data/classifier/classifier.json", _flip, "altered artifact"),
        (SUPPORT, _repaint, "altered artifact"),
        (SUPPORT, lambda path: path.write_bytes(b"no image"), "altered artifact"),
        (SUPPORT, Path.unlink, "missing artifact"),
        ("texts.json", reword, "altered artifact"),
        ("texts.json", Path.unlink, "missing artifact"),
        ("request.json", reword, "altered artifact"),
        ("request.json", Path.unlink, "missing artifact"),
        ("audit.json", Path.unlink, "missing artifact"),
        ("card.html", _append, "altered artifact"),
        ("card.html", Path.unlink, "missing artifact"),
        ("generator/README.md", _append, "altered artifact"),
        ("generator/sbom.cdx.json", Path.unlink, "missing artifact"),
        ("model/requirements.txt", _append, "altered artifact"),
        ("model/MLmodel", _append, "altered artifact"),
        ("audit.json", lambda path: path.write_text("[]"), "altered artifact"),
        ("audit.json", lambda path: path.write_text("{}"), "altered artifact"),
    ],
)
def test_an_altered_artifact_is_named(
    home: RecordedHome, workspace: Workspace, name: str, alter: Alter, kind: str
) -> None:
    (path,) = home.artifacts(home.first).glob(name)
    alter(path)
    findings = verify_records(workspace).findings
    assert {(found.kind, found.subject) for found in findings} == {(kind, home.first.model_uri)}
    where = findings[0].where
    assert path.name.split(".")[0] in where or path.parent.name in where


def test_other_tampering_with_artifacts_is_named(home: RecordedHome, workspace: Workspace) -> None:
    folder = home.artifacts(home.first)
    (folder / "support" / "melanoma" / "extra.png").write_bytes(b"")
    assert only_finding(verify_records(workspace))[0] == "unknown artifact"
    (folder / "support" / "melanoma" / "extra.png").unlink()

    (folder / "note.html").write_text("It was approved.")
    assert only_finding(verify_records(workspace))[::2] == ("unknown artifact", "note.html")
    (folder / "note.html").unlink()

    loader = folder / "model" / "MLmodel"
    whole = loader.read_text()
    loader.write_text(whole.replace("sgps.service.pyfunc_loader", "somebody.elses"))
    finding = verify_records(workspace).findings[0]
    assert finding.where == "model/MLmodel"
    assert "somebody.elses" in finding.found
    loader.write_text(whole)

    audit = folder / "audit.json"
    record = json.loads(audit.read_text())
    record["inputs"]["classes"][0]["images"][0]["artifact"] = "../../../../../secret.png"
    audit.write_text(json.dumps(record))
    (home.settings.artifact_folder.parent / "secret.png").write_bytes(b"")
    kinds = {found.kind for found in verify_records(workspace).findings}
    assert kinds == {"altered artifact", "missing artifact", "unknown artifact"}


def test_the_weights_of_another_model_are_named(home: RecordedHome, workspace: Workspace) -> None:
    for name in ("classifier.safetensors", "classifier.json"):
        place = f"model/data/classifier/{name}"
        other = home.artifacts(home.third) / place
        (home.artifacts(home.first) / place).write_bytes(other.read_bytes())
    wheres = {found.where for found in verify_records(workspace).findings}
    assert wheres == {
        "model/data/classifier, weights_sha256",
        "model/data/classifier, description_sha256",
    }


def test_a_key_that_went_without_an_erasure_is_named(
    home: RecordedHome, workspace: Workspace
) -> None:
    workspace.ledger.record_keys.erase(home.second.request_id)
    assert only_finding(verify_records(workspace))[:2] == ("missing key", home.second.model_uri)


def test_entries_of_before_digests_were_sealed_are_compared(
    home: RecordedHome, workspace: Workspace
) -> None:
    ledger = workspace.ledger
    sealed = ledger.get(2)
    audit = json.loads((home.artifacts(home.second) / "audit.json").read_text())
    alter_ledger(
        home,
        "PRAGMA foreign_keys=OFF",
        "DELETE FROM requests",
        "DELETE FROM ledger_terms",
        "DELETE FROM ledger_entries",
        "DELETE FROM record_keys",
    )
    images = [image for item in audit["inputs"]["classes"] for image in item["images"]]
    terms = {
        "request_id": audit["request_id"],
        "model_name": home.second.model_name,
        "version": home.second.version,
        "requester": audit["who"]["requester"],
        "task": audit["task"],
        "generator": audit["generator"]["sha256"],
        "weights": home.second.weights_sha256,
        "image": [image["pixel_sha256"] for image in images],
    }
    ledger.append("synthesize", sealed.subject, {**sealed.record, "audit": audit}, terms=terms)
    for receipt in (home.first, home.third):
        workspace.registry.client.delete_model_version(receipt.model_name, receipt.version)
    assert verify_records(workspace).findings == ()
    path = home.artifacts(home.second) / "audit.json"
    path.write_text(json.dumps({**audit, "device": "abacus"}))
    assert only_finding(verify_records(workspace))[2] == "audit.json device"
