"""Addresses that do not work give one line, and never a password."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from sgps.audit import Ledger
from sgps.errors import StoreError


@pytest.mark.parametrize(
    "url",
    [
        "no url at all",
        "mysql://sgps:hunter2@db/ledger",
        "sqlite://",
        "postgresql://sgps:hunter2@127.0.0.1:1/ledger",
        "postgresql://127.0.0.1:1/ledger?user=sgps&password=hunter2",
    ],
)
def test_an_address_that_does_not_work_is_one_line_without_password(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        Ledger.open(url)
    message = str(caught.value)
    assert "hunter2" not in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


@pytest.mark.postgres
def test_a_wrong_password_is_one_line_without_password(postgresql_server: str) -> None:
    url = postgresql_server.replace("not-to-be-shown", "hunter2") + "/postgres"
    with pytest.raises(StoreError, match="authentication failed") as caught:
        Ledger.open(url)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="folder"):
        Ledger.open(f"sqlite:///{tmp_path}/file/ledger.db")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    assert (tmp_path / "ledger.db").read_bytes().startswith(b"this is no database")


def test_a_ledger_that_somebody_else_keeps_locked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    with Ledger.open(url, busy_seconds=0.1) as ledger:
        blocker = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            ledger.append("s", "one", {})
        blocker.execute("ROLLBACK")
        blocker.close()
        assert ledger.append("s", "one", {}).number == 1


def test_sqlite_is_durable(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.append("s", "one", {})
        with ledger._engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert ledger.address == f"sqlite:///{tmp_path}/ledger.db"
