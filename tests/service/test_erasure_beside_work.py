"""Erasing what a worker, a sender or a reader holds at the same time."""

from __future__ import annotations

from typing import Any

import pytest
from recorded_home import RecordedHome, request_of

from sgps.audit import Outbox, RequestState
from sgps.errors import IntegrityError, StoreError
from sgps.registry import labelling
from sgps.registry.contents import find_stored, list_versions
from sgps.service.classifier_cache import ClassifierCache
from sgps.service.erasure import ErasureSelection, erase, evicted
from sgps.service.exactly_once import Submission, process, status, submit
from sgps.service.verification import verify_records
from sgps.service.workspace import Workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer

WHY = {"by": "Dr. Eve", "reason": "Consent was withdrawn."}


@pytest.fixture
def settings(home: RecordedHome) -> Settings:
    return home.settings


def test_a_request_that_waits_with_the_image_is_erased(
    workspace: Workspace, home: RecordedHome, generator: Synthesizer
) -> None:
    sent = submit(request_of(home.images, "Waits", ("wart", "naevus")), workspace, generator)
    outcome = erase(ErasureSelection(image=home.digest("wart-1")), workspace, **WHY)
    assert outcome.erased == (home.third.model_uri, f"request {sent.request_id}")
    assert workspace.ledger.outbox.get(sent.request_id).state is RequestState.FAILED
    assert not (home.settings.home_folder / "spool" / sent.request_id).exists()
    assert verify_records(workspace).passed


def test_a_request_that_is_being_worked_on_is_left_alone(
    workspace: Workspace, home: RecordedHome, generator: Synthesizer
) -> None:
    sent = submit(request_of(home.images, "Busy", ("wart", "naevus")), workspace, generator)
    workspace.ledger.outbox.claim(sent.request_id, 60)
    with pytest.raises(StoreError, match="being worked on"):
        erase(ErasureSelection(image=home.digest("wart-1")), workspace, **WHY)
    assert workspace.ledger.entries("erasure") == []
    assert verify_records(workspace).passed


@pytest.mark.parametrize("step", ["flow runs", "spool", "outbox", "key"])
def test_a_request_sent_again_beside_its_erasure_is_another_one(
    workspace: Workspace, home: RecordedHome, generator: Synthesizer, step: str
) -> None:
    request = request_of(home.images, "Waits", ("wart", "naevus"))
    sent = submit(request, workspace, generator)
    again: list[Submission] = []

    def send_again(now: str, request_id: str) -> None:
        if now == step and request_id in ("", sent.request_id):
            again.append(submit(request, workspace, generator))

    erase(ErasureSelection(image=home.digest("wart-1")), workspace, **WHY, progress=send_again)
    (other,) = again
    assert other.created
    assert other.request_id != sent.request_id
    assert workspace.ledger.outbox.get(sent.request_id).state is RequestState.FAILED
    assert workspace.ledger.outbox.counts()["accepted"] == 1
    assert process(other.request_id, workspace, generator).state is RequestState.DONE
    assert verify_records(workspace).passed


def test_a_failed_request_that_is_erased_while_it_is_sent_again_is_another_one(
    workspace: Workspace,
    home: RecordedHome,
    generator: Synthesizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = request_of(home.images, "Waits", ("wart", "naevus"))
    sent = submit(request, workspace, generator)
    workspace.ledger.outbox.fail(sent.request_id, "no")
    reopen = Outbox.reopen

    def reopen_too_late(outbox: Outbox, request_id: str) -> bool:
        outbox.forget_body(request_id)
        return reopen(outbox, request_id)

    monkeypatch.setattr(Outbox, "reopen", reopen_too_late)
    again = submit(request, workspace, generator)
    assert again.created
    assert again.request_id != sent.request_id
    spool = home.settings.home_folder / "spool"
    assert [path.name for path in spool.iterdir() if path.is_dir()] == [again.request_id]
    assert process(again.request_id, workspace, generator).state is RequestState.DONE


@pytest.mark.parametrize("step", ["register_model", "record_in_ledger"])
def test_who_comes_too_late_does_not_bring_an_erased_request_back(
    workspace: Workspace, home: RecordedHome, generator: Synthesizer, step: str
) -> None:
    sent = submit(request_of(home.images, "Late", ("wart", "naevus")), workspace, generator)
    ledger = workspace.ledger

    def oversleep(now: str) -> None:
        if now == step:
            ledger.outbox.release(sent.request_id, "")
            erase(ErasureSelection(image=home.digest("wart-1")), workspace, **WHY)

    ended = process(sent.request_id, workspace, generator, progress=oversleep)
    assert (ended.state, ended.error) == (RequestState.FAILED, "its content was erased")
    assert ledger.record_keys.get(sent.request_id) is None
    assert len(ledger.entries("synthesize")) == len(list_versions(workspace.registry)) == 3
    assert workspace.registry.request_runs(sent.request_id) == []
    assert verify_records(workspace).passed


def test_a_request_that_is_done_while_its_erasure_begins_is_erased_whole(
    workspace: Workspace, home: RecordedHome, generator: Synthesizer
) -> None:
    sent = submit(request_of(home.images, "Quick", ("wart", "naevus")), workspace, generator)

    def be_quicker(now: str, _request: str) -> None:
        if now == "uploads" and status(sent.request_id, workspace).receipt is None:
            workspace.ledger.outbox.release(sent.request_id, "")
            process(sent.request_id, workspace, generator)

    digest = home.digest("wart-1")
    outcome = erase(ErasureSelection(image=digest), workspace, **WHY, progress=be_quicker)
    assert outcome.erased == (home.third.model_uri, "models:/quick/1")
    assert workspace.ledger.record_keys.get(sent.request_id) is None
    assert digest[:12].encode() not in home.content()
    report = verify_records(workspace)
    assert report.findings == ()
    assert report.erased == outcome.erased


def test_a_version_that_is_erased_while_it_becomes_a_draft_stays_erased(
    workspace: Workspace,
    home: RecordedHome,
    generator: Synthesizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = submit(request_of(home.images, "Quick", ("wart", "naevus")), workspace, generator)
    write = labelling._write

    def write_after_an_eraser(*args: Any) -> None:
        monkeypatch.setattr(labelling, "_write", write)
        erase(ErasureSelection(model_uri="models:/quick/1"), workspace, **WHY)
        write(*args)

    monkeypatch.setattr(labelling, "_write", write_after_an_eraser)
    assert process(sent.request_id, workspace, generator).state is RequestState.DONE
    assert evicted(sent.request_id, workspace.ledger)
    stored = find_stored(workspace.registry, "quick", "1")
    assert stored is not None
    assert stored.tags["state"] == "erased"
    assert "purpose" not in stored.tags
    assert verify_records(workspace).passed


@pytest.mark.parametrize("step", ["version", "key"])
def test_a_loaded_classifier_does_not_answer_once_its_erasure_began(
    workspace: Workspace, home: RecordedHome, step: str
) -> None:
    uri, cache = home.third.model_uri, ClassifierCache()
    cache.load(uri, workspace)
    refused: list[str] = []

    def ask(now: str, _request: str) -> None:
        if now == step:
            with pytest.raises(IntegrityError, match="was erased"):
                cache.load(uri, workspace)
            refused.append(now)

    erase(ErasureSelection(model_uri=uri), workspace, **WHY, progress=ask)
    assert refused == [step]
    assert len(cache) == 0
