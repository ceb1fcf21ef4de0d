"""The ledger's promises, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tampering import fill, raw_connection, tamper

from sgps.audit import Ledger, canonical_json
from sgps.errors import InputError, IntegrityError, UnknownNameError


def test_an_entry_comes_back_as_it_was_written(ledger: Ledger) -> None:
    record = {"who": "Zoë", "hashes": ["a", "b"], "seconds": 0.25, "text": "a\x00b\n<b>"}
    written = ledger.append("synthesize", "models:/demo/1", record)
    assert ledger.get(1) == written
    assert written.record == record
    assert written.number == 1
    assert written.time.endswith("+00:00")
    assert written.previous_digest == "0" * 64


def test_the_digest_can_be_computed_with_hashlib_and_json_alone(ledger: Ledger) -> None:
    fill(ledger, 2)
    entry = ledger.get(2)
    record = json.dumps(entry.record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    fields = [2, entry.time, entry.kind, entry.subject, record, ledger.get(1).digest]
    line = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    assert entry.digest == hashlib.sha256(line.encode()).hexdigest()


def test_entries_are_numbered_without_gaps_and_chained(ledger: Ledger) -> None:
    fill(ledger, 3)
    entries = ledger.entries()
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert [entry.previous_digest for entry in entries[1:]] == [e.digest for e in entries[:-1]]
    verification = ledger.verify()
    assert verification.passed
    assert verification.entries == 3
    assert verification.head == entries[-1].digest


def test_an_empty_ledger_verifies(ledger: Ledger) -> None:
    assert ledger.verify().passed
    assert ledger.entries() == []


def test_entries_are_filtered_by_kind_and_subject(ledger: Ledger) -> None:
    ledger.append("synthesize", "models:/a/1", {})
    ledger.append("register", "models:/a/1", {})
    ledger.append("synthesize", "models:/b/1", {})
    assert [entry.number for entry in ledger.entries(kind="synthesize")] == [1, 3]
    assert [entry.number for entry in ledger.entries(subject="models:/a/1")] == [1, 2]
    assert [entry.number for entry in ledger.entries("synthesize", "models:/b/1")] == [3]
    assert [entry.number for entry in ledger.entries(limit=2)] == [2, 3]


def test_entries_are_found_by_their_terms(ledger: Ledger) -> None:
    ledger.append("s", "one", {}, terms={"requester": "ann", "image": ["aa", "bb", "bb"]})
    ledger.append("s", "two", {}, terms={"requester": "bob", "image": ["bb"]})
    assert [entry.subject for entry in ledger.find(image="bb")] == ["one", "two"]
    assert [entry.subject for entry in ledger.find(image="bb", requester="ann")] == ["one"]
    assert ledger.find(image="cc") == []
    assert [entry.subject for entry in ledger.find(image="bb", limit=1)] == ["two"]


def test_an_unknown_number_is_named(ledger: Ledger) -> None:
    with pytest.raises(UnknownNameError, match="no entry 7"):
        ledger.get(7)


@pytest.mark.parametrize("record", [{"x": float("nan")}, {"x": object()}, {"x": "\ud800"}])
def test_a_record_without_json_form_is_refused(ledger: Ledger, record: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="no JSON form"):
        ledger.append("s", "one", record)
    assert ledger.entries() == []


def test_a_kind_or_subject_too_long_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="kind"):
        ledger.append("k" * 65, "one", {})
    with pytest.raises(InputError, match="subject"):
        ledger.append("k", "", {})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entries SET record = '{}' WHERE number = 2",
        "DELETE FROM ledger_entries WHERE number = 3",
    ],
)
def test_the_database_refuses_changes(ledger: Ledger, ledger_url: str, statement: str) -> None:
    fill(ledger, 3)
    with pytest.raises(DBAPIError, match="append-only"), raw_connection(ledger_url) as connection:
        connection.execute(text(statement))
    assert ledger.verify().entries == 3


def test_sqlite_refuses_to_replace_and_postgresql_to_truncate(
    ledger: Ledger, ledger_url: str
) -> None:
    fill(ledger, 2)
    statement = "TRUNCATE ledger_entries CASCADE"
    if ledger_url.startswith("sqlite"):
        statement = """INSERT OR REPLACE INTO ledger_entries
            SELECT number, time, kind, 'other', record, previous_digest, digest
            FROM ledger_entries WHERE number = 1"""
    with pytest.raises(DBAPIError, match="append-only"), raw_connection(ledger_url) as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("column", ["time", "kind", "subject", "record"])
def test_an_altered_field_is_named(ledger: Ledger, ledger_url: str, column: str) -> None:
    fill(ledger, 4)
    tamper(ledger_url, f"UPDATE ledger_entries SET {column} = '{{}}' WHERE number = 2")
    verification = ledger.verify()
    assert verification.first_bad == 2
    assert verification.entries == 1
    assert "altered" in verification.reason


def test_a_deleted_entry_is_named(ledger: Ledger, ledger_url: str) -> None:
    fill(ledger, 4)
    tamper(ledger_url, "DELETE FROM ledger_entries WHERE number = 3")
    verification = ledger.verify()
    assert verification.first_bad == 3
    assert "missing" in verification.reason


def test_a_field_that_is_no_text_any_more_is_named(ledger: Ledger, ledger_url: str) -> None:
    fill(ledger, 3)
    value = "X'00ff'" if ledger_url.startswith("sqlite") else "'{'"
    tamper(ledger_url, f"UPDATE ledger_entries SET record = {value} WHERE number = 2")
    assert ledger.verify().first_bad == 2
    with pytest.raises(IntegrityError, match="entry 2 was altered"):
        ledger.get(2)


def test_swapped_entries_are_named(ledger: Ledger, ledger_url: str) -> None:
    fill(ledger, 4)
    tamper(
        ledger_url,
        "UPDATE ledger_entries SET number = 99 WHERE number = 2",
        "UPDATE ledger_entries SET number = 2 WHERE number = 3",
        "UPDATE ledger_entries SET number = 3 WHERE number = 99",
    )
    verification = ledger.verify()
    assert verification.first_bad == 2
    assert "does not follow" in verification.reason


def test_an_entry_before_the_first_is_named(ledger: Ledger, ledger_url: str) -> None:
    fill(ledger, 2)
    tamper(
        ledger_url,
        """INSERT INTO ledger_entries VALUES (-3, 't', 'k', 's', '{}', 'previous', 'digest')""",
    )
    assert "numbered -3" in ledger.verify().reason


def test_a_long_chain_is_walked_to_its_end(
    ledger: Ledger, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sgps.audit.ledger._WALK_BATCH", 3)
    fill(ledger, 9)
    assert ledger.verify().entries == 9
    tamper(ledger_url, "UPDATE ledger_entries SET kind = 'x' WHERE number = 9")
    assert ledger.verify().first_bad == 9


@pytest.mark.parametrize("terms", [{"n" * 65: "v"}, {"": "v"}, {"n": "a\x00"}, {"n": ["\ud800"]}])
def test_a_term_that_cannot_be_stored_is_refused(ledger: Ledger, terms: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="term"):
        ledger.append("s", "one", {}, terms=terms)
    assert ledger.entries() == []


def test_a_long_term_is_found_by_its_whole_value(ledger: Ledger) -> None:
    ledger.append("s", "one", {}, terms={"task": "x" * 300})
    assert len(ledger.find(task="x" * 300)) == 1


def test_forgotten_terms_find_nothing_and_the_chain_stays(ledger: Ledger) -> None:
    ledger.append("s", "one", {}, terms={"image": ["aa", "bb"], "person": "p", "task": "t"})
    ledger.append("s", "two", {}, terms={"image": "aa"})
    assert ledger.forget_terms(1, ["image", "person"]) == 3
    assert ledger.forget_terms(1, ["image", "person"]) == 0
    assert [entry.number for entry in ledger.find(image="aa")] == [2]
    assert [entry.number for entry in ledger.find(task="t")] == [1]
    assert ledger.verify().passed


def test_an_entry_rewritten_with_a_fitting_digest_breaks_the_next(
    ledger: Ledger, ledger_url: str
) -> None:
    from sgps.audit._chain import entry_digest

    fill(ledger, 3)
    entry = ledger.get(2)
    digest = entry_digest(2, entry.time, entry.kind, entry.subject, "{}", entry.previous_digest)
    tamper(
        ledger_url,
        f"UPDATE ledger_entries SET record = '{{}}', digest = '{digest}' WHERE number = 2",
    )
    verification = ledger.verify()
    assert verification.first_bad == 3
    assert "does not follow" in verification.reason


def test_opening_again_finds_the_same_entries(ledger: Ledger, ledger_url: str) -> None:
    fill(ledger, 2)
    with Ledger.open(ledger_url) as again:
        again.append("s", "third", {})
        assert again.verify().entries == 3


def test_checking_leaves_no_trace(ledger: Ledger) -> None:
    fill(ledger, 1)
    ledger.check_writable()
    assert [entry.number for entry in ledger.entries()] == [1]
    ledger.append("s", "next", {})
    assert ledger.verify().entries == 2


def test_threads_append_without_breaking_the_chain(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ledger.append("s", f"subject {n}", {"n": n}), range(40)))
    assert ledger.verify().entries == 40
    assert {entry.record["n"] for entry in ledger.entries()} == set(range(40))


def _append_in_process(url: str, first: int) -> None:
    with Ledger.open(url) as ledger:
        for number in range(first, first + 5):
            ledger.append("s", str(number), {})


def test_processes_open_and_append_at_once(ledger_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_append_in_process, args=(ledger_url, 10 * n)) for n in range(1, 4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with Ledger.open(ledger_url) as ledger:
        assert ledger.verify().entries == 15


def test_canonical_json_does_not_depend_on_key_order() -> None:
    assert canonical_json({"b": 1, "a": [1, None]}) == canonical_json({"a": [1, None], "b": 1})
