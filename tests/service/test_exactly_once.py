"""The same request, however often, however concurrently, whatever ends a process: one version."""

from __future__ import annotations

import copy
import multiprocessing
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from whole_stores import assert_whole

from sgps.audit import Outbox, RequestState
from sgps.errors import ConflictError, ImageError, QueueFullError, RequestError, StoreError
from sgps.service._processing import _Lease, give_up, remove_failed
from sgps.service._spool import Spool
from sgps.service.exactly_once import finish_request, process, status, submit, synthesize_once
from sgps.service.identity import RequesterIdentity
from sgps.service.reconcile import reconcile
from sgps.service.requests import SynthesisRequest
from sgps.service.verification import verify_records
from sgps.service.workspace import Workspace, open_workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer
from sgps.synthesizer.known_classes import KnownClasses

WriteImage = Callable[..., Path]


@pytest.fixture
def request_of_folder(task_folder: Path) -> SynthesisRequest:
    return SynthesisRequest.from_folder(task_folder, "Dr. Ada", "a study")


def shuffled(request: SynthesisRequest) -> SynthesisRequest:
    classes = tuple(
        item.model_copy(update={"images": item.images[::-1]}) for item in request.classes[::-1]
    )
    return request.model_copy(update={"classes": classes})


def known(warnings: Sequence[str]) -> list[str]:
    return [warning for warning in warnings if "look" in warning and "made from" in warning]


def test_the_same_request_gives_the_same_receipt(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    first = synthesize_once(request_of_folder, workspace, generator)
    assert synthesize_once(request_of_folder, workspace, generator) == first
    again = synthesize_once(shuffled(request_of_folder), workspace, generator)
    assert (again.run_id, again.model_uri) == (first.run_id, first.model_uri)
    sent = submit(request_of_folder, workspace, generator)
    assert (sent.created, sent.state) == (False, "done")
    assert (sent.receipt or {})["run_id"] == first.run_id
    assert_whole(workspace)


def test_what_is_recorded_makes_another_request(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    persons = tuple(
        item.model_copy(update={"persons": ("p1", "p2")}) for item in request_of_folder.classes
    )
    changes: list[dict[str, Any]] = [
        {}, {"purpose": "b"}, {"requester": "Bob"}, {"legal_basis": "consent"}, {"task": "Other"},
        {"classes": persons},
    ]  # fmt: skip
    requests = [request_of_folder.model_copy(update=change) for change in changes]
    sent = [submit(request, workspace, generator) for request in requests]
    assert len({one.request_id for one in sent}) == len(changes)
    other = submit(request_of_folder, workspace, generator, identity=RequesterIdentity("Bob"))
    assert other.request_id == sent[2].request_id
    knowing = copy.copy(generator)
    knowing.known_classes = KnownClasses(("drawn: a",), torch.ones(1, 3), "0" * 64)
    asked = submit(request_of_folder, workspace, knowing)
    assert asked.created
    refused = process(asked.request_id, workspace, generator)
    assert refused.state is RequestState.FAILED
    assert "or what it knows, is another one now" in refused.error


def test_two_requests_of_one_task_are_two_versions_of_the_same_weights(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    first = synthesize_once(request_of_folder, workspace, generator)
    second = synthesize_once(request_of_folder, workspace, generator, key="mine")
    assert (first.version, second.version) == ("1", "2")
    assert first.weights_sha256 == second.weights_sha256
    assert_whole(workspace, 2)


def test_images_of_another_request_are_known(
    task_folder: Path, workspace: Workspace, generator: Synthesizer, write_image: WriteImage
) -> None:
    first_request = SynthesisRequest.from_folder(task_folder, "Dr. Ada", "a study")
    first = synthesize_once(first_request, workspace, generator)
    assert known(first.warnings) == []
    for label, keep in (("melanoma", ()), ("naevus", ("1.png",)), ("wart", ())):
        for place in range(2):
            if f"{place}.png" not in keep:
                write_image(
                    task_folder / label / f"{place}.png", seed=900 + 10 * len(label) + place
                )
    request = SynthesisRequest.from_folder(task_folder, "Bo", "another", task="Other")
    words = "1 image looks like what models:/skin-marks/1 was made from"
    recorded = "class 'naevus': image 2 looks like one that models:/skin-marks/1 was made from"
    sent = submit(request, workspace, generator)
    assert known(sent.warnings) == [words]
    other = synthesize_once(request, workspace, generator)
    assert known(other.warnings) == [words]
    (entry,) = workspace.ledger.find(request_id=other.request_id)
    assert entry.record["audit"]["checks"][-1] == {
        "check": "known_image",
        "label": "naevus",
        "image": 2,
        "finding": recorded,
    }
    receipt = status(sent.request_id, workspace).receipt or {}
    assert known(receipt["warnings"]) == [words]
    again = submit(request, workspace, generator)
    assert (again.created, again.warnings) == (False, sent.warnings)
    assert synthesize_once(request, workspace, generator) == other
    assert_whole(workspace, 2)


def test_images_of_an_erased_record_are_not_known(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    synthesize_once(request_of_folder, workspace, generator)
    (entry,) = workspace.ledger.entries("synthesize")
    workspace.ledger.forget_terms(entry.number, ["image_hash"])
    sent = submit(request_of_folder, workspace, generator, key="mine")
    assert known(sent.warnings) == []


def test_a_key_belongs_to_one_content(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    first = synthesize_once(request_of_folder, workspace, generator, key="a")
    assert synthesize_once(request_of_folder, workspace, generator, key="a") == first
    other = request_of_folder.model_copy(update={"purpose": "another"})
    with pytest.raises(ConflictError, match="'a' belongs to another request"):
        submit(other, workspace, generator, key="a")
    assert_whole(workspace)


def test_a_key_is_one_of_its_requester_alone(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    first = synthesize_once(request_of_folder, workspace, generator)
    digest = workspace.ledger.outbox.get(first.request_id).body_digest
    bo = request_of_folder.model_copy(update={"requester": "Dr. Bo"})
    for key in (f"content:{digest}", f"erased:{first.request_id}"):
        mine = synthesize_once(request_of_folder, workspace, generator, key=key)
        his = synthesize_once(bo, workspace, generator, key=key)
        assert len({first.request_id, mine.request_id, his.request_id}) == 3
    assert synthesize_once(request_of_folder, workspace, generator) == first
    for key in ("", "k" * 256):
        with pytest.raises(RequestError, match="idempotency key"):
            submit(request_of_folder, workspace, generator, key=key)
    assert_whole(workspace, 5)


def test_fifty_at_once_are_one(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    with ThreadPoolExecutor(50) as pool:
        futures = [
            pool.submit(synthesize_once, request_of_folder, workspace, generator) for _ in range(50)
        ]
        receipts = [future.result() for future in futures]
    assert len({receipt.run_id for receipt in receipts}) == 1
    assert_whole(workspace)


def _send(settings: Settings, request: SynthesisRequest, generator: Synthesizer) -> None:
    torch.set_num_threads(1)
    with open_workspace(settings) as workspace, ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(synthesize_once, request, workspace, generator) for _ in range(4)]
        assert len({one.result().run_id for one in sent}) == 1
    os._exit(0)  # without the exit handlers of what ran before in the process of the tests


def test_several_processes_at_once_make_one(
    request_of_folder: SynthesisRequest, settings: Settings, generator: Synthesizer
) -> None:
    context = multiprocessing.get_context("fork")
    senders = [
        context.Process(target=_send, args=(settings, request_of_folder, generator))
        for _ in range(4)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(120)
    assert [sender.exitcode for sender in senders] == [0] * 4
    with open_workspace(settings) as workspace:
        assert_whole(workspace)


def test_a_registry_that_is_locked_is_waited_for(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    sent = submit(request_of_folder, workspace, generator)
    tables = workspace.settings.resolved_tracking_uri.removeprefix("sqlite:///")
    with (
        closing(sqlite3.connect(tables, isolation_level=None)) as blocker,
        ThreadPoolExecutor(1) as pool,
    ):
        blocker.execute("BEGIN EXCLUSIVE")
        working = pool.submit(process, sent.request_id, workspace, generator)
        time.sleep(1)
        assert not working.done()
        assert status(sent.request_id, workspace).state is RequestState.RUNNING
        blocker.execute("ROLLBACK")
        working.result(60)
    finish_request(sent.request_id, workspace, generator)
    assert_whole(workspace)


def test_eight_different_at_once(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    requests = [request_of_folder.model_copy(update={"purpose": str(n)}) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda one: synthesize_once(one, workspace, generator), requests))
    assert sorted(receipt.version for receipt in receipts) == list("12345678")
    assert len({receipt.weights_sha256 for receipt in receipts}) == 1
    assert_whole(workspace, 8)


def test_a_bad_image_leaves_nothing(
    task_folder: Path, workspace: Workspace, generator: Synthesizer
) -> None:
    (task_folder / "wart" / "1.png").write_bytes(b"no image")
    with pytest.raises(ImageError):
        submit(SynthesisRequest.from_folder(task_folder, "r", "p"), workspace, generator)
    assert workspace.ledger.outbox.recent() == []
    assert_whole(workspace, 0)


def test_a_full_queue_leaves_nothing(
    request_of_folder: SynthesisRequest, settings: Settings, generator: Synthesizer
) -> None:
    with open_workspace(settings.model_copy(update={"max_queue": 1})) as workspace:
        first = submit(request_of_folder, workspace, generator)
        with pytest.raises(QueueFullError):
            submit(request_of_folder, workspace, generator, key="second")
        assert submit(request_of_folder, workspace, generator).request_id == first.request_id
        assert Spool(settings.home_folder).request_ids() == [first.request_id]


def test_with_the_registry_down_a_request_waits(
    request_of_folder: SynthesisRequest, settings: Settings, generator: Synthesizer
) -> None:
    closed = settings.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    with open_workspace(closed) as workspace:
        with pytest.raises(StoreError, match="is accepted but not done: the tracking store"):
            synthesize_once(request_of_folder, workspace, generator)
        (row,) = workspace.ledger.outbox.waiting()
        assert row.state is RequestState.ACCEPTED
        assert "Skin marks/" not in str(row.body)
        report = reconcile(workspace, generator)
        assert len(report.released) == 1
    with open_workspace(settings) as workspace:
        report = reconcile(workspace, generator)
        assert report.finished == (f"{row.request_id}: done: models:/skin-marks/1",)
        assert synthesize_once(request_of_folder, workspace, generator).version == "1"
        assert_whole(workspace)


def test_an_altered_spool_fails_and_can_be_sent_again(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    sent = submit(request_of_folder, workspace, generator)
    spool = Spool(workspace.settings.home_folder)
    (spool.path / sent.request_id / "0-0.png").unlink()
    failed = process(sent.request_id, workspace, generator)
    assert failed.state is RequestState.FAILED
    assert "missing or altered" in failed.error
    assert_whole(workspace, 0)
    again = synthesize_once(request_of_folder, workspace, generator)
    assert again.request_id == sent.request_id
    assert_whole(workspace)


@pytest.mark.parametrize("finished", [False, True])
def test_a_request_sent_again_while_it_is_given_up_keeps_images_and_key(
    request_of_folder: SynthesisRequest,
    workspace: Workspace,
    generator: Synthesizer,
    monkeypatch: pytest.MonkeyPatch,
    *,
    finished: bool,
) -> None:
    sent = submit(request_of_folder, workspace, generator)
    row = workspace.ledger.outbox.claim(sent.request_id, 60)
    assert row is not None
    fail = Outbox.fail

    def fail_and_dawdle(outbox: Outbox, *args: Any, **options: Any) -> bool:
        monkeypatch.setattr(Outbox, "fail", fail)
        failed = fail(outbox, *args, **options)
        assert submit(request_of_folder, workspace, generator).request_id == sent.request_id
        if finished:
            process(sent.request_id, workspace, generator)
        return failed

    monkeypatch.setattr(Outbox, "fail", fail_and_dawdle)
    give_up(row, "cannot be done", workspace)
    ended = process(sent.request_id, workspace, generator)
    assert (ended.state, ended.error) == (RequestState.DONE, "")
    assert verify_records(workspace).passed
    assert_whole(workspace)


def test_images_are_not_removed_while_their_request_is_sent_again(
    request_of_folder: SynthesisRequest,
    workspace: Workspace,
    generator: Synthesizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = submit(request_of_folder, workspace, generator)
    workspace.ledger.outbox.fail(sent.request_id, "cannot be done")
    reopen = Outbox.reopen

    def reopen_beside_a_sweep(outbox: Outbox, request_id: str) -> bool:
        remove_failed(request_id, workspace)
        return reopen(outbox, request_id)

    monkeypatch.setattr(Outbox, "reopen", reopen_beside_a_sweep)
    submit(request_of_folder, workspace, generator)
    assert process(sent.request_id, workspace, generator).state is RequestState.DONE
    assert_whole(workspace)


def test_who_works_on_a_request_keeps_it(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    sent = submit(request_of_folder, workspace, generator)
    outbox = workspace.ledger.outbox
    row = outbox.claim(sent.request_id, 1.0)
    assert row is not None
    with _Lease(outbox, row, 1.0):
        time.sleep(1.5)
        assert process(sent.request_id, workspace, generator).state is RequestState.RUNNING
        assert reconcile(workspace, generator).finished == ()
        assert Spool(workspace.settings.home_folder).holds(sent.request_id)
    time.sleep(1.1)
    assert process(sent.request_id, workspace, generator).state is RequestState.DONE
    assert_whole(workspace)


def test_of_two_who_both_registered_the_first_to_record_stays(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    """The lease of the first lapses while it registers, as when a machine sleeps."""
    sent = submit(request_of_folder, workspace, generator)

    def overtake(step: str) -> None:
        if step == "record_in_ledger":
            workspace.ledger.outbox.release(sent.request_id, "")
            process(sent.request_id, workspace, generator)

    process(sent.request_id, workspace, generator, progress=overtake)
    assert_whole(workspace)


def test_a_waiting_caller_gets_what_the_other_made(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    sent = submit(request_of_folder, workspace, generator)
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(
            process,
            sent.request_id,
            workspace,
            generator,
            progress=lambda step: step == "check_stores" and begun.set(),
        )
        begun.wait(10)
        receipt = finish_request(sent.request_id, workspace, generator)
        assert receipt.to_dict() == first.result().receipt
    assert_whole(workspace)
