"""A checkpoint tells what the chain alone cannot: that its end was cut off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tampering import fill, tamper

from sgps.audit import Checkpoint, Ledger, read_checkpoint, renew_checkpoint, write_checkpoint
from sgps.audit._chain import entry_digest
from sgps.errors import InputError, IntegrityError, StoreError


def test_a_checkpoint_holds_the_newest_entry(ledger: Ledger) -> None:
    fill(ledger, 3)
    checkpoint = ledger.checkpoint()
    assert checkpoint.number == 3
    assert checkpoint.digest == ledger.get(3).digest
    assert checkpoint.ledger_id == ledger.get(1).digest
    fill(ledger, 2)
    outcome = ledger.verify(checkpoint)
    assert outcome.passed
    assert outcome.entries == 5


def test_a_checkpoint_of_an_empty_ledger_fits_whatever_comes_later(ledger: Ledger) -> None:
    checkpoint = ledger.checkpoint()
    assert checkpoint.number == 0
    assert ledger.verify(checkpoint).passed
    fill(ledger, 2)
    assert ledger.verify(checkpoint).passed


@pytest.mark.parametrize("kept", [0, 2])
def test_a_truncation_is_named(ledger: Ledger, ledger_url: str, kept: int) -> None:
    fill(ledger, 4)
    checkpoint = ledger.checkpoint()
    tamper(ledger_url, f"DELETE FROM ledger_entries WHERE number > {kept}")
    assert ledger.verify().passed
    outcome = ledger.verify(checkpoint)
    assert outcome.first_bad == kept + 1
    assert outcome.entries == kept
    assert f"cut off: it ends at entry {kept}" in outcome.reason
    assert "saw entry 4" in outcome.reason


def test_a_history_written_anew_is_named(ledger: Ledger, ledger_url: str) -> None:
    fill(ledger, 3)
    checkpoint = ledger.checkpoint()
    entry = ledger.get(3)
    digest = entry_digest(3, entry.time, entry.kind, entry.subject, "{}", entry.previous_digest)
    tamper(
        ledger_url,
        f"UPDATE ledger_entries SET record = '{{}}', digest = '{digest}' WHERE number = 3",
    )
    fill(ledger, 2)
    assert ledger.verify().passed
    outcome = ledger.verify(checkpoint)
    assert outcome.first_bad == 3
    assert "rewritten" in outcome.reason


def test_a_checkpoint_of_another_ledger_is_named(ledger: Ledger, tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/other.db") as other:
        other.append("s", "other", {})
        checkpoint = other.checkpoint()
    fill(ledger, 1)
    assert "began otherwise" in ledger.verify(checkpoint).reason


def test_a_broken_chain_is_named_before_the_checkpoint(ledger: Ledger, ledger_url: str) -> None:
    fill(ledger, 4)
    checkpoint = ledger.checkpoint()
    tamper(ledger_url, "DELETE FROM ledger_entries WHERE number IN (2, 4)")
    outcome = ledger.verify(checkpoint)
    assert outcome.first_bad == 2
    assert "missing" in outcome.reason


CHECKPOINT = Checkpoint(3, "a" * 64, "2026-01-01T00:00:00.000+00:00", "b" * 64)


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = write_checkpoint(CHECKPOINT, tmp_path / "new" / "checkpoint.json")
    assert read_checkpoint(path) == CHECKPOINT
    later = replace(CHECKPOINT, number=4)
    write_checkpoint(later, path)
    assert read_checkpoint(path) == later
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.json"]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_checkpoint(CHECKPOINT, tmp_path / "file" / "checkpoint.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        write_checkpoint(CHECKPOINT, tmp_path / "folder")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


def test_an_older_checkpoint_is_replaced_while_the_ledger_goes_on(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = tmp_path / "safe" / "checkpoint.json"
    assert renew_checkpoint(ledger, path).number == 0
    fill(ledger, 2)
    assert renew_checkpoint(ledger, path) == read_checkpoint(path)
    fill(ledger, 1)
    assert renew_checkpoint(ledger, path).number == 3
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.json"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("DELETE FROM ledger_entries WHERE number = 3", "cut off"),
        ("DELETE FROM ledger_entries", "cut off"),
        ("UPDATE ledger_entries SET record = '{}' WHERE number = 2", "altered"),
    ],
)
def test_a_checkpoint_that_proves_a_change_is_kept(
    ledger: Ledger, ledger_url: str, tmp_path: Path, change: str, reason: str
) -> None:
    fill(ledger, 3)
    path = tmp_path / "checkpoint.json"
    renew_checkpoint(ledger, path)
    kept = path.read_bytes()
    tamper(ledger_url, change)
    with pytest.raises(IntegrityError, match=reason):
        renew_checkpoint(ledger, path)
    assert path.read_bytes() == kept


def test_a_file_that_is_no_checkpoint_is_not_overwritten(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary")
    with pytest.raises(InputError, match="no checkpoint"):
        renew_checkpoint(ledger, path)
    assert path.read_text() == "dear diary"


GOOD = {"format": "sgps-checkpoint-1", **vars(CHECKPOINT)}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 5000,
        "[]",
        "{}",
        json.dumps({**GOOD, "format": "another"}),
        json.dumps({**GOOD, "number": -1}),
        json.dumps({**GOOD, "number": True}),
        json.dumps({**GOOD, "number": "3"}),
        json.dumps({**GOOD, "digest": "a" * 63}),
        json.dumps({**GOOD, "digest": "A" * 64}),
        json.dumps({**GOOD, "ledger_id": None}),
        json.dumps({**GOOD, "time": 3}),
        json.dumps({**GOOD, "more": 3}),
        json.dumps(GOOD) + "x",
        b"\xff\xfe\xff",
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match="no checkpoint"):
        read_checkpoint(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_checkpoint(tmp_path / "none.json")
