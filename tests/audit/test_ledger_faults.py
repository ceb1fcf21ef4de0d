"""A database that is locked, full, gone or not ours to write: one error, nothing half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from tampering import fill, raw_connection

from sgps.audit import Ledger, RequestState
from sgps.audit._database import _ADVISORY_LOCK
from sgps.errors import StoreError


@pytest.fixture
def locked(ledger: Ledger, ledger_url: str) -> Iterator[str]:
    """The URL of a ledger in which another connection is writing and does not come to an end."""
    ledger.outbox.accept("key", "d" * 64, {}, requester="a", task="t", request_id="1", limit=9)
    with raw_connection(ledger_url) as blocker:
        if ledger_url.startswith("sqlite"):
            blocker.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            blocker.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        yield ledger_url


WRITES: dict[str, Callable[[Ledger], Any]] = {
    "append": lambda ledger: ledger.append("s", "one", {}),
    "accept": lambda ledger: ledger.outbox.accept(
        "other", "e" * 64, {}, requester="a", task="t", request_id="2", limit=9
    ),
    "claim": lambda ledger: ledger.outbox.claim("1", 60),
    "finish": lambda ledger: ledger.outbox.finish("1", {}, "s", "one", {}),
    "create": lambda ledger: ledger.record_keys.create("one"),
    "check": lambda ledger: ledger.check_writable(),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_lock_that_stays_is_an_error_within_the_time_given(locked: str, name: str) -> None:
    with Ledger.open(locked, busy_seconds=0.2) as ledger:
        started = time.monotonic()
        with pytest.raises(StoreError, match=r"cannot be written.*lock"):
            WRITES[name](ledger)
        assert time.monotonic() - started < 5
        assert ledger.entries() == []
        assert ledger.outbox.counts() == {"accepted": 1, "running": 0, "done": 0, "failed": 0}


def test_a_lock_that_goes_in_time_is_waited_for(ledger: Ledger, ledger_url: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        with raw_connection(ledger_url) as blocker:
            if ledger_url.startswith("sqlite"):
                blocker.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                blocker.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
            appended = pool.submit(ledger.append, "s", "one", {})
            time.sleep(0.3)
            assert not appended.done()
        assert appended.result(20).number == 1


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    with Ledger.open(url) as ledger:
        fill(ledger, 3)
        ledger.outbox.accept("key", "d" * 64, {}, requester="a", task="t", request_id="1", limit=9)
        ledger.outbox.claim("1", 60)
    with Ledger.open(url) as ledger:
        event.listen(
            ledger._engine, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count=1")
        )
        ledger.close()  # connections made from here on are full
        large = {"text": "x" * 200_000}
        for act in (
            lambda: ledger.append("s", "large", large),
            lambda: ledger.outbox.finish("1", {}, "s", "large", large, {"image": "aa"}),
            lambda: ledger.outbox.accept(
                "other", "e" * 64, large, requester="a", task="t", request_id="2", limit=9
            ),
        ):
            with pytest.raises(StoreError, match="full"):
                act()
            assert ledger.verify().entries == 3
            assert ledger.outbox.get("1").state == RequestState.RUNNING
        assert ledger.find(image="aa") == []
    with Ledger.open(url) as ledger:
        assert ledger.outbox.finish("1", {}, "s", "large", large).number == 4
        assert ledger.verify().passed


def test_a_server_that_goes_away_is_an_error_and_comes_back(
    ledger: Ledger, ledger_url: str
) -> None:
    if ledger_url.startswith("sqlite"):
        pytest.skip("SQLite has no server")
    fill(ledger, 1)
    with ledger._engine.connect() as connection:
        process = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with raw_connection(ledger_url) as other:
            other.execute(text(f"SELECT pg_terminate_backend({process}, 5000)"))
        connection.detach()
        with pytest.raises(Exception, match=r"terminat|closed"):
            connection.execute(text("SELECT 1"))
        connection.invalidate()
    assert ledger.append("s", "two", {}).number == 2


def test_a_stricter_isolation_by_default_does_not_break_the_chain(
    ledger_url: str,
) -> None:
    if ledger_url.startswith("sqlite"):
        pytest.skip("SQLite's writers are serial")
    name = ledger_url.rsplit("/", 1)[1]
    with raw_connection(ledger_url) as connection:
        connection.execute(
            text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        )
    with Ledger.open(ledger_url) as ledger:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: ledger.append("s", str(n), {}), range(24)))
        assert ledger.verify().entries == 24


def test_a_reader_without_the_right_to_write_reads_postgresql(
    ledger: Ledger, ledger_url: str
) -> None:
    if ledger_url.startswith("sqlite"):
        pytest.skip("see the test on SQLite's files")
    fill(ledger, 2)
    with raw_connection(ledger_url) as connection:
        connection.execute(text("DROP ROLE IF EXISTS reader"))
        connection.execute(text("CREATE ROLE reader LOGIN PASSWORD 'reads'"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"))
    url = ledger_url.replace("sgps:not-to-be-shown", "reader:reads")
    for writable in (True, False):
        with Ledger.open(url, writable=writable) as reader:
            assert reader.verify().entries == 2
            with pytest.raises(StoreError, match="cannot be written"):
                reader.append("s", "three", {})
    with raw_connection(ledger_url) as connection:
        connection.execute(text("DROP OWNED BY reader"))
        connection.execute(text("DROP ROLE reader"))


def test_opened_for_reading_nothing_is_made_or_written(ledger_url: str) -> None:
    with pytest.raises(StoreError, match=r"no ledger|no tables"):
        Ledger.open(ledger_url, writable=False)
    with Ledger.open(ledger_url) as ledger:
        fill(ledger, 2)
    with Ledger.open(ledger_url, writable=False) as reader:
        assert reader.verify().entries == 2
        with pytest.raises(StoreError, match="cannot be written"):
            reader.append("s", "three", {})
        with pytest.raises(StoreError, match="cannot be written"):
            reader.check_writable()
    with Ledger.open(ledger_url) as ledger:
        assert ledger.verify().entries == 2


_READER = """
import os, sys
from sgps.audit import Ledger
Ledger.open(sys.argv[2]).close()
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for writable in (True, False):
    with Ledger.open(sys.argv[1], writable=writable) as ledger:
        print(ledger.verify().entries, len(ledger.entries()))
        try:
            ledger.append("s", "three", {})
        except Exception as error:
            print(type(error).__name__)
"""


@pytest.mark.parametrize("is_open_elsewhere", [False, True])
def test_a_reader_without_the_right_to_write_reads_sqlite(
    tmp_path: Path, is_open_elsewhere: bool
) -> None:
    folder = Path("/tmp") / f"sgps-reader-{os.getpid()}-{is_open_elsewhere}"
    folder.mkdir(mode=0o755)
    writer = Ledger.open(f"sqlite:///{folder}/ledger.db")
    try:
        fill(writer, 2)
        if not is_open_elsewhere:
            writer.close()
        folder.chmod(0o555)
        for path in folder.iterdir():
            path.chmod(0o444)
        urls = (f"sqlite:///{folder}/ledger.db", f"sqlite:///{tmp_path}/own.db")
        finished = subprocess.run(
            [sys.executable, "-c", _READER, *urls], capture_output=True, text=True, check=False
        )
        assert finished.stdout.split("\n")[:-1] == ["2 2", "StoreError"] * 2, finished.stderr
    finally:
        writer.close()
        folder.chmod(0o755)
        shutil.rmtree(folder)
