"""Erasing an image, a person or a model; and going on after a kill."""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
from contextlib import closing

import pytest
from recorded_home import SECRET, RecordedHome, request_of

from sgps.errors import InputError, UnknownNameError
from sgps.registry.contents import find_stored, list_versions
from sgps.service import erasure
from sgps.service.erasure import ErasureSelection, erase, erasure_states, evicted, plan_erasure
from sgps.service.exactly_once import submit
from sgps.service.reconcile import reconcile
from sgps.service.verification import verify_records
from sgps.service.workspace import Workspace, open_workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer

WHY = {"by": "Dr. Eve", "reason": "Consent was withdrawn."}
STEPS = (
    "begin", "uploads", "flow runs", "spool", "version", "artifacts", "outbox", "terms", "key",
    "compact", "tombstone",
)  # fmt: skip


@pytest.fixture
def settings(home: RecordedHome) -> Settings:
    return home.settings


def drop_upload(home: RecordedHome, name: str, digest: str) -> None:
    uploads = home.settings.home_folder / "uploads"
    uploads.mkdir(exist_ok=True)
    for suffix in (".png", ".small.png"):
        (uploads / f"{name}{suffix}").write_bytes(b"image")
    (uploads / f"{name}.json").write_text(json.dumps({"pixel_sha256": digest}))


def test_an_image_of_two_models_is_erased_from_both(
    workspace: Workspace, home: RecordedHome
) -> None:
    digest = home.digest("melanoma-0")
    drop_upload(home, "a" * 32, digest)
    drop_upload(home, "b" * 32, "0" * 64)
    secrets = (
        SECRET, digest, digest[:12], "person-melanoma-0", home.first.weights_sha256,
    )  # fmt: skip
    plan = plan_erasure(ErasureSelection(image=digest), workspace)
    assert [target.model_uri for target in plan.targets] == [
        home.first.model_uri,
        home.second.model_uri,
    ]
    assert plan.uploads == ("a" * 32,)
    before = home.content()  # a plan takes nothing away
    for secret in secrets:
        assert secret.encode() in before, secret

    outcome = erase(ErasureSelection(image=str(home.image("melanoma-0"))), workspace, **WHY)
    assert outcome.erased == (home.first.model_uri, home.second.model_uri)
    assert any("Backups" in note for note in outcome.notes)
    after = home.content()
    for secret in secrets:
        assert secret.encode() not in after, secret
    uploads = home.settings.home_folder / "uploads"
    assert {path.name[0] for path in uploads.iterdir()} == {"b"}
    for receipt in (home.first, home.second):
        assert not home.artifacts(receipt).exists()


def test_what_is_left_of_an_erased_model_says_so(workspace: Workspace, home: RecordedHome) -> None:
    outcome = erase(ErasureSelection(image=home.digest("melanoma-0")), workspace, **WHY)
    ledger = workspace.ledger
    assert ledger.verify().passed
    for receipt in (home.first, home.second):
        assert ledger.record_keys.get(receipt.request_id) is None
        assert evicted(receipt.request_id, ledger)
        assert ledger.outbox.get(receipt.request_id).body == {}
        stored = find_stored(workspace.registry, receipt.model_name, receipt.version)
        assert stored is not None
        assert stored.tags["state"] == "erased"
        assert "Consent was withdrawn" in stored.description
    assert not evicted(home.third.request_id, ledger)
    assert ledger.find(image=home.digest("melanoma-0")) == []
    tombstone = ledger.get(outcome.entry)
    assert tombstone.kind == "erasure"
    assert tombstone.record["who"] == "Dr. Eve"
    assert tombstone.record["requests"] == [home.first.request_id, home.second.request_id]
    assert home.digest("melanoma-0") not in json.dumps(tombstone.record)

    report = verify_records(workspace)
    assert report.findings == ()
    assert report.erased == (home.first.model_uri, home.second.model_uri)
    with pytest.raises(UnknownNameError, match="nothing is kept"):
        plan_erasure(ErasureSelection(image=home.digest("melanoma-0")), workspace)
    assert reconcile(workspace).swept == ()


def test_a_person_is_erased_with_every_model_made_from_their_images(
    workspace: Workspace, home: RecordedHome
) -> None:
    outcome = erase(ErasureSelection(person="person-naevus-1"), workspace, **WHY)
    assert outcome.erased == (home.first.model_uri,)
    assert len(list_versions(workspace.registry)) == 3
    assert verify_records(workspace).passed


def test_a_model_is_erased_once_and_its_run_is_gone_for_good(
    workspace: Workspace, home: RecordedHome
) -> None:
    chosen = ErasureSelection(model_uri=home.third.model_uri)
    erase(chosen, workspace, **WHY)
    with closing(sqlite3.connect(home.settings.home_folder / "mlflow" / "mlflow.db")) as store:
        for table in ("runs", "tags", "params", "latest_metrics"):
            query = f"SELECT count(*) FROM {table} WHERE run_uuid = ?"
            assert store.execute(query, (home.third.run_id,)).fetchone() == (0,), table
    with pytest.raises(UnknownNameError):
        erase(chosen, workspace, **WHY)


@pytest.mark.parametrize(
    ("selection", "erased"),
    [
        ({"image": "melanoma-0"}, ("first", "second")),
        ({"person": "person-naevus-1"}, ("first",)),
    ],
)
def test_what_the_index_hides_is_found_in_the_sealed_entries(
    workspace: Workspace, home: RecordedHome, selection: dict[str, str], erased: tuple[str, ...]
) -> None:
    with closing(sqlite3.connect(home.settings.home_folder / "ledger.db")) as database:
        database.execute("DELETE FROM ledger_terms")
        database.commit()
    if "image" in selection:
        selection = {"image": home.digest(selection["image"])}
    plan = plan_erasure(ErasureSelection(**selection), workspace)
    assert [target.model_uri for target in plan.targets] == [
        getattr(home, name).model_uri for name in erased
    ]


def test_an_index_that_names_another_model_erases_nothing_of_it(
    workspace: Workspace, home: RecordedHome
) -> None:
    digest = home.digest("melanoma-0")
    with closing(sqlite3.connect(home.settings.home_folder / "ledger.db")) as database:
        database.execute("INSERT INTO ledger_terms VALUES (3, 'image', ?)", (digest,))
        database.commit()
    plan = plan_erasure(ErasureSelection(image=digest), workspace)
    assert home.third.model_uri not in [target.model_uri for target in plan.targets]


def test_folders_that_are_not_searched_are_named(workspace: Workspace, home: RecordedHome) -> None:
    chosen = ErasureSelection(model_uri=home.third.model_uri)
    assert not any("not searched" in note for note in plan_erasure(chosen, workspace).notes)
    folder = home.settings.home_folder / "demo"
    (folder / "images").mkdir(parents=True)
    [note] = [note for note in plan_erasure(chosen, workspace).notes if "not searched" in note]
    assert str(folder) in note


def test_an_image_that_looks_the_same_is_pointed_out(
    workspace: Workspace, home: RecordedHome
) -> None:
    from PIL import Image

    with Image.open(home.image("wart-0")) as image:
        changed = image.copy()
    changed.putpixel((0, 0), (1, 2, 3))
    changed.save(home.image("changed"))
    drop_upload(home, "c" * 32, home.digest("changed"))
    plan = plan_erasure(ErasureSelection(image=str(home.image("changed"))), workspace)
    assert plan.targets == ()
    assert any("looks the same" in note and home.third.model_uri in note for note in plan.notes)


def test_a_log_of_the_ledger_that_stays_in_use_is_told(
    workspace: Workspace, home: RecordedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "_LOG_SECONDS", 0.1)
    with closing(
        sqlite3.connect(home.settings.home_folder / "ledger.db", isolation_level=None)
    ) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM record_keys").fetchone()
        outcome = erase(ErasureSelection(model_uri=home.third.model_uri), workspace, **WHY)
    assert any("the ledger's log was in use" in note for note in outcome.notes)
    again = erase(ErasureSelection(model_uri=home.second.model_uri), workspace, **WHY)
    assert not any("log" in note for note in again.notes)
    assert home.third.weights_sha256.encode() not in home.content()


def change_ledger(home: RecordedHome, statement: str, *values: str) -> None:
    with closing(sqlite3.connect(home.settings.home_folder / "ledger.db")) as database:
        database.execute(statement, values)
        database.commit()


def test_what_has_a_key_after_its_erasure_can_be_erased_again(
    workspace: Workspace, home: RecordedHome
) -> None:
    """As earlier code left it, where somebody finished a request after its erasure."""
    chosen = ErasureSelection(model_uri=home.third.model_uri)
    erase(chosen, workspace, **WHY)
    change_ledger(home, "INSERT INTO record_keys VALUES (?, ?)", home.third.request_id, "ab" * 32)
    assert [found.kind for found in verify_records(workspace).findings] == ["not erased"]
    assert erase(chosen, workspace, **WHY).erased == (home.third.model_uri,)
    assert verify_records(workspace).passed
    with pytest.raises(UnknownNameError, match="nothing is kept"):
        plan_erasure(chosen, workspace)


def test_an_erased_request_that_waits_is_given_up(
    workspace: Workspace, home: RecordedHome, generator: Synthesizer
) -> None:
    """As earlier code left it, where a request was sent again beside its erasure."""
    sent = submit(request_of(home.images, "Waits", ("wart", "naevus")), workspace, generator)
    erase(ErasureSelection(image=home.digest("wart-1")), workspace, **WHY)
    change_ledger(
        home, "UPDATE requests SET state = 'accepted' WHERE request_id = ?", sent.request_id
    )
    assert reconcile(workspace, generator).finished == (
        f"{sent.request_id}: failed: its content was erased",
    )


@pytest.mark.parametrize(
    "selection",
    [
        ErasureSelection(),
        ErasureSelection(image="0" * 64, person="p"),
        ErasureSelection(image="0" * 64),
        ErasureSelection(person="nobody"),
        ErasureSelection(model_uri="models:/nosuch/1"),
        ErasureSelection(image="no/such/file.png"),
    ],
)
def test_what_is_not_there_cannot_be_erased(
    settings: Settings, selection: ErasureSelection
) -> None:
    with (
        open_workspace(settings) as workspace,
        pytest.raises((InputError, UnknownNameError)),
    ):
        plan_erasure(selection, workspace)


@pytest.mark.parametrize("changes", [{"by": ""}, {"reason": " "}, {"reason": "x" * 1_001}])
def test_who_and_why_are_asked_for(settings: Settings, changes: dict[str, str]) -> None:
    with (
        open_workspace(settings) as workspace,
        pytest.raises(InputError, match=next(iter(changes))),
    ):
        erase(ErasureSelection(person="p"), workspace, **{**WHY, **changes})


def _erase_and_die(settings: Settings, digest: str, step: str) -> None:
    def die(now: str, _request: str) -> None:
        if now == step:
            os._exit(9)

    with open_workspace(settings) as workspace:
        erase(ErasureSelection(image=digest), workspace, **WHY, progress=die)
    os._exit(0)


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_is_continued(step: str, home: RecordedHome) -> None:
    digest = home.digest("melanoma-0")
    drop_upload(home, "a" * 32, digest)
    child = multiprocessing.get_context("fork").Process(
        target=_erase_and_die, args=(home.settings, digest, step)
    )
    child.start()
    child.join(60)
    assert child.exitcode == 9
    with open_workspace(home.settings) as workspace:
        assert workspace.ledger.verify().passed
        kinds = {finding.kind for finding in verify_records(workspace).findings}
        assert kinds == (set() if step == "begin" else {"unfinished erasure"})
        outcome = erase(ErasureSelection(image=digest), workspace, **WHY)
        assert outcome.erased == (home.first.model_uri, home.second.model_uri)
        report = verify_records(workspace)
        assert report.findings == ()
        assert report.erased == outcome.erased
        assert all(state.done for state in erasure_states(workspace.ledger).values())
    content = home.content()
    assert digest[:12].encode() not in content
    assert SECRET.encode() not in content
