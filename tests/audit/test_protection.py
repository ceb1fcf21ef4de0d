"""A ledger without its triggers, or without its entries, says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from tampering import fill, raw_connection, tamper

from sgps.audit import Ledger


def names_of(ledger_url: str) -> list[str]:
    if ledger_url.startswith("sqlite"):
        return [f"ledger_entries_no_{act}" for act in ("update", "delete", "replace")]
    return ["ledger_entries_no_change", "ledger_entries_no_truncate"]


def change(ledger_url: str, *statements: str) -> None:
    with raw_connection(ledger_url) as connection:
        for statement in statements:
            connection.execute(text(statement))


def dropping(ledger_url: str, name: str) -> str:
    on = "" if ledger_url.startswith("sqlite") else " ON ledger_entries"
    return f"DROP TRIGGER {name}{on}"


def test_a_ledger_as_it_was_made_is_protected(ledger: Ledger) -> None:
    fill(ledger, 1)
    assert ledger.missing_protection() == []
    assert ledger.lost_entries() == []


def test_triggers_that_are_gone_are_named(ledger: Ledger, ledger_url: str) -> None:
    first, *others = names_of(ledger_url)
    change(ledger_url, dropping(ledger_url, first))
    assert ledger.missing_protection() == [first]
    change(ledger_url, *(dropping(ledger_url, name) for name in others))
    assert ledger.missing_protection() == [first, *others]
    assert ledger.verify().passed


def test_a_trigger_that_does_nothing_is_named(ledger: Ledger, ledger_url: str) -> None:
    first = names_of(ledger_url)[0]
    if ledger_url.startswith("sqlite"):
        made = f"CREATE TRIGGER {first} BEFORE UPDATE ON ledger_entries BEGIN SELECT 1; END"
        change(ledger_url, dropping(ledger_url, first), made)
        assert ledger.missing_protection() == [first]
        return
    change(ledger_url, f"ALTER TABLE ledger_entries DISABLE TRIGGER {first}")
    assert ledger.missing_protection() == [first]
    change(
        ledger_url,
        f"ALTER TABLE ledger_entries ENABLE TRIGGER {first}",
        "CREATE OR REPLACE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN NEW; END $$",
    )
    assert ledger.missing_protection() == names_of(ledger_url)


def finish(ledger: Ledger, request_id: str) -> None:
    ledger.outbox.accept(
        request_id, "d" * 64, {}, requester="a", task="t", request_id=request_id, limit=9
    )
    ledger.record_keys.create(request_id)
    ledger.outbox.finish(request_id, {}, "synthesize", "models:/m/1", {})


@pytest.mark.parametrize("kept", [0, 1])
def test_entries_of_done_requests_that_are_gone_are_named(
    ledger: Ledger, ledger_url: str, kept: int
) -> None:
    finish(ledger, "one")
    finish(ledger, "two")
    _cut_off(ledger_url, f"DELETE FROM ledger_entries WHERE number > {kept}")
    named = dict(ledger.lost_entries())
    assert set(named) == ({2} if kept else {1, 2})
    assert "request two" in named[2]


def test_keys_without_any_entry_are_named(ledger: Ledger, ledger_url: str) -> None:
    finish(ledger, "one")
    _cut_off(ledger_url, "DELETE FROM requests", "DELETE FROM ledger_entries")
    [(number, about)] = ledger.lost_entries()
    assert (number, "1 records whose keys" in about) == (None, True)


def test_a_request_on_its_way_into_an_empty_ledger_lost_nothing(ledger: Ledger) -> None:
    ledger.outbox.accept("k", "d" * 64, {}, requester="a", task="t", request_id="k", limit=9)
    ledger.outbox.claim("k", 60)
    ledger.record_keys.create("k")
    assert ledger.lost_entries() == []


def test_the_file_of_a_new_ledger_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "ledger.db"
    with Ledger.open(f"sqlite:///{path}") as ledger:
        fill(ledger, 1)
        files = [path.parent, *path.parent.iterdir()]
        assert len(files) > 2
        assert [file.stat().st_mode & 0o077 for file in files] == [0] * len(files)


def _cut_off(ledger_url: str, *statements: str) -> None:
    if not ledger_url.startswith("sqlite"):
        without = "ALTER TABLE requests DROP CONSTRAINT IF EXISTS requests_entry_fkey"
        statements = (without, *statements)
    tamper(ledger_url, *statements)
