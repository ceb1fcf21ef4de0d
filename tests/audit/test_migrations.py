"""Every database that a ledger was ever kept in gets the tables of today, and keeps its entries."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError
from tampering import fill, raw_connection, tamper

from sgps.audit import Ledger, _schema
from sgps.audit._tables import METADATA
from sgps.errors import StoreError

BEFORE_REVISIONS = Path(__file__).parent / "data" / "ledger_before_revisions.sql"


@pytest.fixture
def url_before_revisions(ledger_url: str, tmp_path: Path) -> Iterator[str]:
    """A database with two entries, whose tables nobody counted the revisions of."""
    if ledger_url.startswith("sqlite"):
        path = tmp_path / "before.db"
        connection = sqlite3.connect(path)
        connection.executescript(BEFORE_REVISIONS.read_text(encoding="utf-8"))
        connection.close()
        yield f"sqlite:///{path}"
        return
    with Ledger.open(ledger_url) as ledger:
        fill(ledger, 2)
    drop_tables(ledger_url, "requests", "record_keys", _schema.VERSION_TABLE)
    yield ledger_url


def drop_tables(url: str, *names: str) -> None:
    with raw_connection(url) as connection:
        for name in names:
            connection.execute(text(f"DROP TABLE {name}"))


def differences(url: str) -> list[object]:
    with raw_connection(url) as connection:
        options = {"version_table": _schema.VERSION_TABLE, "compare_type": True}
        return list(
            compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
        )


def stored_revision(url: str) -> str:
    with raw_connection(url) as connection:
        query = text(f"SELECT version_num FROM {_schema.VERSION_TABLE}")
        return str(connection.execute(query).scalar_one())


def test_the_revisions_lead_to_the_tables_that_the_code_knows(
    ledger: Ledger, ledger_url: str
) -> None:
    assert differences(ledger_url) == []
    assert stored_revision(ledger_url) == _schema.REVISIONS[-1]
    with raw_connection(ledger_url) as connection:
        assert set(inspect(connection).get_table_names()) == {
            *METADATA.tables,
            _schema.VERSION_TABLE,
        }


def test_every_revision_is_known_to_the_code() -> None:
    config = Config()
    config.set_main_option("script_location", str(_schema._MIGRATIONS))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert [script.revision for script in scripts.walk_revisions()] == [*_schema.REVISIONS][::-1]


def test_a_database_from_before_is_adopted(url_before_revisions: str) -> None:
    with Ledger.open(url_before_revisions) as ledger:
        assert [entry.number for entry in ledger.entries()] == [1, 2]
        ledger.append("s", "three", {})
        assert ledger.outbox.recent() == []
        assert ledger.verify().entries == 3
    assert differences(url_before_revisions) == []
    assert stored_revision(url_before_revisions) == _schema.REVISIONS[-1]
    with (
        pytest.raises(DBAPIError, match="append-only"),
        raw_connection(url_before_revisions) as connection,
    ):
        connection.execute(text("DELETE FROM ledger_entries"))


@pytest.mark.parametrize("revision", ["0002", "0003"])
def test_uncounted_tables_are_adopted_at_their_revision(ledger_url: str, revision: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        fill(ledger, 1)
        ledger.record_keys.create("one")
        ledger.outbox.accept("key", "d" * 64, {}, requester="a", task="t", request_id="1", limit=9)
    drop_tables(ledger_url, _schema.VERSION_TABLE)
    if revision == "0002":
        with raw_connection(ledger_url) as connection:
            connection.execute(text("ALTER TABLE requests DROP COLUMN crashes"))
    with Ledger.open(ledger_url) as ledger:
        assert ledger.record_keys.get("one") is not None
        assert ledger.outbox.get("1").crashes == 0
        assert ledger.verify().entries == 1
    assert stored_revision(ledger_url) == _schema.REVISIONS[-1]


def test_tables_of_a_version_to_come_are_refused(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        fill(ledger, 1)
    with raw_connection(ledger_url) as connection:
        connection.execute(text(f"UPDATE {_schema.VERSION_TABLE} SET version_num = '9999'"))
    for writable in (True, False):
        with pytest.raises(StoreError, match=r"revision 9999.*newer one"):
            Ledger.open(ledger_url, writable=writable)
    assert stored_revision(ledger_url) == "9999"


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    url_before_revisions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_connection(url_before_revisions) as connection:
        connection.execute(text("CREATE TABLE record_keys (something_else INTEGER)"))
    with pytest.raises(StoreError, match="record_keys"):
        Ledger.open(url_before_revisions)
    with raw_connection(url_before_revisions) as connection:
        names = set(inspect(connection).get_table_names())
    assert names == {"ledger_entries", "ledger_terms", "record_keys"}


def test_the_tables_of_a_neighbour_are_left_alone(ledger_url: str, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with raw_connection(ledger_url) as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('of another program')"))
    with Ledger.open(ledger_url) as ledger:
        fill(ledger, 1)
    with raw_connection(ledger_url) as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    assert found == ["of another program"]


def test_opening_a_current_ledger_is_fast_and_writes_nothing(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        fill(ledger, 1)
    seconds = []
    for _ in range(9):
        started = time.perf_counter()
        with Ledger.open(ledger_url, busy_seconds=0.1) as ledger:
            seconds.append(time.perf_counter() - started)
    assert min(seconds) < (0.01 if ledger_url.startswith("sqlite") else 0.1)
    with raw_connection(ledger_url) as blocker:
        if ledger_url.startswith("sqlite"):
            blocker.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            blocker.execute(text("SELECT pg_advisory_xact_lock(1397182547)"))
        with Ledger.open(ledger_url, busy_seconds=0.1) as ledger:
            assert ledger.verify().entries == 1
            with pytest.raises(StoreError):
                ledger.append("s", "two", {})


def test_alembic_is_not_imported_for_a_current_ledger(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    Ledger.open(url).close()
    code = (
        "import sys; from sgps.audit import Ledger; Ledger.open(sys.argv[1]).close();"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, url], check=False).returncode == 0


def _open_in_process(url: str) -> None:
    with Ledger.open(url) as ledger:
        ledger.append("s", "one", {})


def test_processes_upgrade_at_once(url_before_revisions: str) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_open_in_process, args=(url_before_revisions,)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with Ledger.open(url_before_revisions) as ledger:
        assert ledger.verify().entries == 5


def test_threads_make_ledgers_at_once(tmp_path: Path) -> None:
    def open_and_append(number: int) -> None:
        with Ledger.open(f"sqlite:///{tmp_path}/{number % 3}.db") as ledger:
            ledger.append("s", str(number), {})

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(open_and_append, range(18)))
    for number in range(3):
        with Ledger.open(f"sqlite:///{tmp_path}/{number}.db") as ledger:
            assert ledger.verify().entries == 6


def test_tampering_before_the_upgrade_is_still_named(url_before_revisions: str) -> None:
    tamper(url_before_revisions, "UPDATE ledger_entries SET record = '{}' WHERE number = 1")
    with Ledger.open(url_before_revisions) as ledger:
        assert ledger.verify().first_bad == 1
