"""Requests are accepted, worked on and finished once, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sgps.audit import Ledger, LedgerEntry, Outbox, OutboxRow, RequestState
from sgps.errors import ConflictError, InputError, QueueFullError, UnknownNameError

BODY = {"task": "demo", "classes": ["a", "b"]}
DIGEST = "d" * 64


def accept(outbox: Outbox, name: str = "1", **changed: Any) -> tuple[OutboxRow, bool]:
    options = {"requester": "ann", "task": "demo", "request_id": name, "limit": 100} | changed
    digest = options.pop("digest", DIGEST)
    return outbox.accept(options.pop("key", f"key {name}"), digest, BODY, **options)


def finish(outbox: Outbox, name: str = "1", **record: Any) -> LedgerEntry:
    receipt = {"model_uri": "models:/demo/1", "weights_sha256": "ab" * 32}
    return outbox.finish(name, receipt, "synthesize", "models:/demo/1", record, {"requester": "a"})


@pytest.fixture
def outbox(ledger: Ledger) -> Outbox:
    return ledger.outbox


def test_a_request_comes_back_as_it_was_accepted(outbox: Outbox) -> None:
    row, is_new = accept(outbox)
    assert is_new
    assert row == outbox.get("1") == outbox.find_key("key 1")
    assert (row.state, row.body, row.attempts) == (RequestState.ACCEPTED, BODY, 0)
    assert row.receipt is None
    assert outbox.find_key("another") is None
    with pytest.raises(UnknownNameError, match="no request 2"):
        outbox.get("2")


def test_fifty_threads_accept_one_request(ledger: Ledger) -> None:
    with ThreadPoolExecutor(50) as pool:
        results = list(
            pool.map(
                lambda n: accept(ledger.outbox, f"id {n}", key="one key"),
                range(50),
            )
        )
    assert sum(is_new for _, is_new in results) == 1
    assert len({row.request_id for row, _ in results}) == 1
    assert ledger.outbox.counts()["accepted"] == 1


def test_a_key_of_another_content_is_refused(outbox: Outbox) -> None:
    accept(outbox)
    with pytest.raises(ConflictError, match="'key 1' belongs to another request"):
        accept(outbox, digest="e" * 64)
    with pytest.raises(ConflictError):
        accept(outbox, key="another key", digest="e" * 64)
    assert accept(outbox, key="another key") == (outbox.get("1"), False)
    assert outbox.counts()["accepted"] == 1


def test_the_queue_has_a_limit_that_done_and_failed_requests_do_not_fill(outbox: Outbox) -> None:
    accept(outbox, "1", limit=2)
    accept(outbox, "2", limit=2)
    with pytest.raises(QueueFullError, match="2 requests are waiting"):
        accept(outbox, "3", limit=2)
    assert accept(outbox, "2", limit=2)[1] is False
    outbox.claim("1", 60)
    with pytest.raises(QueueFullError):
        accept(outbox, "3", limit=2)
    finish(outbox, "1")
    outbox.fail("2", "no")
    assert accept(outbox, "3", limit=2)[1]
    assert outbox.counts() == {"accepted": 1, "running": 0, "done": 1, "failed": 1}


def test_threads_do_not_overfill_the_queue(ledger: Ledger) -> None:
    def try_to_accept(number: int) -> bool:
        try:
            return accept(ledger.outbox, str(number), limit=5)[1]
        except QueueFullError:
            return False

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(try_to_accept, range(20))) == 5


@pytest.mark.parametrize(
    "changed",
    [
        {"key": ""},
        {"key": "k" * 256},
        {"key": "nul\x00"},
        {"requester": "r" * 256},
        {"task": "\ud800"},
        {"request_id": "i" * 65},
    ],
)
def test_what_a_column_cannot_hold_is_refused(outbox: Outbox, changed: dict[str, str]) -> None:
    with pytest.raises(InputError):
        accept(outbox, **changed)
    assert outbox.recent() == []


def test_of_twenty_claims_one_wins(ledger: Ledger) -> None:
    accept(ledger.outbox)
    with ThreadPoolExecutor(20) as pool:
        claims = list(pool.map(lambda _: ledger.outbox.claim("1", 60), range(20)))
    won = [row for row in claims if row is not None]
    assert [(row.state, row.attempts) for row in won] == [(RequestState.RUNNING, 1)]
    assert ledger.outbox.waiting() == []


def test_a_lapsed_lease_can_be_claimed(outbox: Outbox) -> None:
    accept(outbox)
    outbox.claim("1", 0.05)
    time.sleep(0.1)
    assert [row.request_id for row in outbox.waiting()] == ["1"]
    again = outbox.claim("1", 60)
    assert again is not None
    assert again.attempts == 2
    assert outbox.claim("1", 60) is None


def test_a_renewed_lease_does_not_lapse(outbox: Outbox) -> None:
    accept(outbox)
    assert not outbox.renew("1", 60)
    outbox.claim("1", 0.05)
    assert outbox.renew("1", 60)
    time.sleep(0.1)
    assert outbox.claim("1", 60) is None


def test_who_lost_the_lease_changes_nothing_any_more(outbox: Outbox) -> None:
    accept(outbox)
    first = outbox.claim("1", 0.05)
    time.sleep(0.1)
    second = outbox.claim("1", 60)
    assert first is not None
    assert second is not None
    assert not outbox.renew("1", 600, attempt=first.attempts)
    assert not outbox.release("1", "late", attempt=first.attempts)
    assert not outbox.fail("1", "late", attempt=first.attempts)
    assert outbox.get("1") == second
    assert outbox.fail("1", "for good", attempt=second.attempts)
    assert not outbox.release("1", "late", attempt=second.attempts)
    assert outbox.get("1").state == RequestState.FAILED
    assert outbox.release("1", "asked for again")


def test_a_clock_that_is_wrong_does_not_break_a_lease_in_postgresql(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ledger.address.startswith("postgresql"):
        pytest.skip("SQLite's users share one machine, and its clock")
    accept(ledger.outbox)
    ledger.outbox.claim("1", 60)
    monkeypatch.setattr("sgps.audit._requests.time.time", lambda: 4e9)
    assert ledger.outbox.claim("1", 60) is None
    assert ledger.outbox.waiting() == []


def test_a_released_request_waits_and_keeps_its_count(outbox: Outbox) -> None:
    accept(outbox)
    outbox.claim("1", 60)
    assert outbox.release("1", "the registry is down\x00\ud800" + "x" * 3000)
    row = outbox.get("1")
    assert (row.state, row.attempts) == (RequestState.ACCEPTED, 1)
    assert row.error.startswith("the registry is down?")
    assert len(row.error) == 2000
    assert outbox.claim("1", 60) is not None


def test_only_a_failed_request_is_accepted_again(outbox: Outbox) -> None:
    accept(outbox)
    assert not outbox.reopen("1")
    outbox.fail("1", "no")
    assert outbox.claim("1", 60) is None
    assert outbox.reopen("1")
    assert outbox.get("1").error == ""
    assert outbox.claim("1", 60) is not None


def test_waiting_is_oldest_first_and_recent_newest_first(outbox: Outbox) -> None:
    for name in ("b", "a", "c"):
        accept(outbox, name)
        time.sleep(0.005)
    assert [row.request_id for row in outbox.waiting()] == ["b", "a", "c"]
    assert [row.request_id for row in outbox.waiting(2)] == ["b", "a"]
    assert [row.request_id for row in outbox.recent(2)] == ["c", "a"]


def test_finishing_twice_gives_one_entry(ledger: Ledger) -> None:
    accept(ledger.outbox)
    ledger.outbox.claim("1", 60)
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda n: finish(ledger.outbox, value=n), range(8)))
    assert ledger.entries() == [entries[0]]
    assert len({entry.digest for entry in entries}) == 1
    row = ledger.outbox.get("1")
    assert row.state == RequestState.DONE
    assert row.receipt is not None
    assert ledger.outbox.claim("1", 60) is None
    assert not ledger.outbox.fail("1", "too late")


def test_a_record_or_receipt_that_cannot_be_written_leaves_neither(ledger: Ledger) -> None:
    accept(ledger.outbox)
    ledger.outbox.claim("1", 60)
    with pytest.raises(InputError, match="no JSON form"):
        finish(ledger.outbox, value=float("nan"))
    with pytest.raises(InputError, match="no JSON form"):
        ledger.outbox.finish("1", {"x": object()}, "synthesize", "models:/demo/1", {})
    assert ledger.entries() == []
    assert ledger.outbox.get("1").state == RequestState.RUNNING
    assert finish(ledger.outbox).number == 1


def test_an_unknown_request_is_not_finished(ledger: Ledger) -> None:
    with pytest.raises(UnknownNameError):
        finish(ledger.outbox)
    assert ledger.entries() == []


def test_forgetting_leaves_nothing_of_the_content(ledger: Ledger) -> None:
    accept(ledger.outbox)
    ledger.outbox.claim("1", 60)
    finish(ledger.outbox)
    ledger.outbox.forget_body("1")
    row = ledger.outbox.get("1")
    assert (row.body, row.body_digest, row.key) == ({}, "", "erased:1")
    assert row.receipt == {"model_uri": "models:/demo/1", "weights_sha256": ""}
    assert row.state == RequestState.DONE
    assert ledger.outbox.find_key("key 1") is None
    ledger.outbox.forget_body("1")
    ledger.outbox.forget_body("unknown")
    assert ledger.verify().passed


@pytest.mark.parametrize("state", ["accepted", "running", "failed"])
def test_an_erased_request_is_never_worked_on_again(ledger: Ledger, state: str) -> None:
    outbox = ledger.outbox
    accept(outbox)
    if state == "running":
        outbox.claim("1", -1.0)
    if state == "failed":
        outbox.fail("1", "no")
    ledger.record_keys.create("1")
    outbox.forget_body("1")
    row = outbox.get("1")
    assert (row.state, row.is_erased) == (RequestState.FAILED, True)
    assert row.error == "its content was erased"
    assert outbox.waiting() == []
    assert not outbox.reopen("1")
    assert outbox.claim("1", 60) is None
    ledger.record_keys.erase("1")
    with pytest.raises(ConflictError, match="request 1: its content was erased"):
        outbox.finish("1", {}, "synthesize", "models:/demo/1", {}, key=b"k" * 32)
    with pytest.raises(ConflictError, match="its content was erased"):
        ledger.record_keys.create("1")
    assert ledger.entries() == []
    assert ledger.record_keys.get("1") is None
    assert accept(outbox, "2", key="key 1")[1]


def test_a_request_that_was_done_before_it_was_erased_keeps_its_entry(ledger: Ledger) -> None:
    accept(ledger.outbox)
    entry = finish(ledger.outbox)
    ledger.outbox.forget_body("1")
    assert ledger.outbox.finish("1", {}, "s", "late", {}, key=b"k" * 32) == entry
    assert ledger.record_keys.get("1") is None


def test_a_request_is_given_up_with_its_key(ledger: Ledger) -> None:
    accept(ledger.outbox)
    late = ledger.record_keys.create("1")
    assert ledger.outbox.fail("1", "no")
    assert ledger.record_keys.get("1") is None
    assert ledger.record_keys.create("1") != late
    ledger.outbox.finish("1", {}, "synthesize", "models:/demo/1", {}, key=late)
    assert ledger.record_keys.get("1") == late
    assert not ledger.outbox.fail("1", "too late")
    assert ledger.record_keys.get("1") == late


_WORKER = """
import sys, time
from sgps.audit import Ledger, outbox
place, url = sys.argv[1:]

def stop(*_, **__):
    print("here", flush=True)
    time.sleep(60)

if place == "before the entry":
    outbox.append_entry = stop
if place == "between entry and row":
    outbox._change = stop
with Ledger.open(url) as ledger:
    ledger.outbox.claim("1", 0.2)
    ledger.outbox.finish("1", {}, "synthesize", "models:/demo/1", {})
    stop()
"""


@pytest.fixture
def killed_worker(ledger_url: str) -> Iterator[Any]:
    processes: list[subprocess.Popen[str]] = []

    def kill_at(place: str) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, place, ledger_url], stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()

    yield kill_at
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("place", ["before the entry", "between entry and row", "after all"])
def test_a_kill_inside_finish_leaves_both_or_neither(
    ledger: Ledger, killed_worker: Any, place: str
) -> None:
    accept(ledger.outbox)
    killed_worker(place)
    is_done = place == "after all"
    assert len(ledger.entries()) == int(is_done)
    assert ledger.outbox.get("1").state == (RequestState.DONE if is_done else RequestState.RUNNING)
    if not is_done:
        time.sleep(0.2)
        assert ledger.outbox.claim("1", 60) is not None
    finish(ledger.outbox)
    assert ledger.verify().entries == 1
