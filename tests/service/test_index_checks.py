"""The index of the ledger lies outside the chain: what is altered in it is named all the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from recorded_home import RecordedHome

from sgps.service._index_checks import KIND
from sgps.service.erasure import ErasureSelection, erase
from sgps.service.prediction import load_model, note_access
from sgps.service.review import submit_for_review
from sgps.service.verification import verify_records
from sgps.service.workspace import Workspace
from sgps.settings import Settings


@pytest.fixture
def settings(home: RecordedHome) -> Settings:
    return home.settings


def alter_index(home: RecordedHome, statement: str) -> int:
    with closing(sqlite3.connect(home.settings.home_folder / "ledger.db")) as database:
        changed = database.execute(statement).rowcount
        database.commit()
    return changed


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("DELETE FROM ledger_terms WHERE name = 'image'", ["image"] * 3),
        ("DELETE FROM ledger_terms WHERE name = 'image_hash' AND number = 2", ["image_hash"]),
        ("DELETE FROM ledger_terms WHERE name = 'person'", ["person"]),
        ("DELETE FROM ledger_terms WHERE value = 'person-naevus-0'", ["person"]),
        ("UPDATE ledger_terms SET value = 'Nobody' WHERE name = 'requester'", ["requester"] * 3),
        ("UPDATE ledger_terms SET value = 'Moles' WHERE value = 'Third'", ["task"]),
        ("DELETE FROM ledger_terms WHERE name = 'request_id' AND number = 1", ["request_id"]),
        ("DELETE FROM ledger_terms WHERE name = 'weights' AND number = 3", ["weights"]),
        ("INSERT INTO ledger_terms VALUES (3, 'person', 'somebody')", ["person"]),
        ("INSERT INTO ledger_terms VALUES (3, 'note', 'foreign')", ["note"]),
    ],
)
def test_an_altered_index_is_named(
    home: RecordedHome, workspace: Workspace, statement: str, names: list[str]
) -> None:
    assert verify_records(workspace).passed
    assert alter_index(home, statement) > 0
    report = verify_records(workspace)
    assert [found.kind for found in report.findings] == [KIND] * len(names)
    assert [found.where.split()[1] for found in report.findings] == names
    assert not any("person-naevus" in str(found) for found in report.findings)
    assert not any(home.digest("melanoma-0") in str(found) for found in report.findings)


def test_what_reviews_accesses_and_erasures_are_found_by_is_compared(
    home: RecordedHome, workspace: Workspace
) -> None:
    submit_for_review(home.third.model_uri, workspace, reviewer="Dr. Ada")
    note_access(load_model(home.second.model_uri, workspace), workspace, act="predict")
    selection = ErasureSelection(model_uri=home.first.model_uri)
    erase(selection, workspace, by="Dr. Eve", reason="Withdrawn.")
    assert verify_records(workspace).findings == ()
    alter_index(home, "DELETE FROM ledger_terms WHERE number > 3 AND name <> 'model'")
    named = {(found.entry, found.where.split()[1]) for found in verify_records(workspace).findings}
    assert named == {
        *((4, name) for name in ("model_name", "version", "request_id", "reviewer", "state")),
        (5, "access_to"),
        (6, "request_id"),
        (7, "request_id"),
    }


def test_an_erased_version_that_is_found_by_an_image_again_is_named(
    home: RecordedHome, workspace: Workspace
) -> None:
    erase(ErasureSelection(model_uri=home.first.model_uri), workspace, by="Eve", reason="Withdrawn")
    alter_index(home, "INSERT INTO ledger_terms VALUES (1, 'image', 'digest')")
    alter_index(home, "DELETE FROM ledger_terms WHERE number = 1 AND name = 'generator'")
    found = verify_records(workspace).findings
    assert [(one.kind, one.where.split()[1]) for one in found] == [
        (KIND, "generator"),
        (KIND, "image"),
    ]


def test_what_cannot_be_read_among_the_artifacts_is_named_once(
    home: RecordedHome, workspace: Workspace
) -> None:
    (home.artifacts(home.first) / "audit.json").unlink()
    kinds = {found.kind for found in verify_records(workspace).findings}
    assert KIND not in kinds
    alter_index(home, "DELETE FROM ledger_terms WHERE number = 1")
    named = {
        found.where.split()[1] for found in verify_records(workspace).findings if found.kind == KIND
    }
    assert named == {"request_id", "model_name", "version", "generator"}
