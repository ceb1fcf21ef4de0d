"""Engines for the ledger: how a URL becomes one, and what its transactions guarantee."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from sgps.errors import StoreError
from sgps.settings import make_private_folder

BUSY_SECONDS = 10.0
_LOG_PAUSE_SECONDS = 0.05
_CONNECT_SECONDS = 5
_ADVISORY_LOCK = 0x5347_5053  # "SGPS"
WRITING = {"sgps_writes": True}


def parse_url(url: str) -> URL:
    """Parse the address of a ledger; a plain ``postgresql://`` is served by psycopg 3.

    Raises
    ------
    StoreError: no database URL, or a database that the ledger does not know.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError(
            "the ledger address is not a database URL",
            expected="sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE",
            remedy="correct SGPS_LEDGER_URL",
        ) from error
    backend = parsed.drivername.split("+")[0]
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite")
    raise StoreError(
        f"the ledger cannot live in {describe(parsed)}",
        expected="sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE",
        remedy="correct SGPS_LEDGER_URL",
    )


def describe(url: URL) -> str:
    """The address without user, password and options, fit for messages and logs."""
    place = f"{url.host}:{url.port}" if url.port else url.host or ""
    return f"{url.drivername.split('+')[0]}://{place}/{url.database or ''}"


def open_engine(url: URL, *, writable: bool = True, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """An engine whose write transactions are durable and never interleave.

    SQLite: WAL, synchronous=FULL, ``BEGIN IMMEDIATE``. PostgreSQL: an advisory lock for the
    length of a write transaction. A transaction writes where the connection carries ``WRITING``;
    it waits ``busy_seconds`` for the one before it. With ``writable=False`` nothing is made or
    changed.

    Raises
    ------
    StoreError: the folder cannot be made, the file is not there and may not be made, or the
        PostgreSQL driver is not installed.
    """
    milliseconds = max(1, round(1000 * busy_seconds))
    if url.drivername == "sqlite":
        return _open_sqlite(url, writable, milliseconds)
    return _open_postgresql(url, writable, milliseconds)


def forget_log(engine: Engine, seconds: float = 0.0) -> bool:
    """Empty SQLite's write-ahead log, so that deleted values are not left in it.

    False where others were using it for ``seconds``: it stays until the next time. They are waited
    for without the lock on writing. PostgreSQL keeps deleted rows until a VACUUM, and its log and
    backups as long as the operator says.
    """
    if engine.dialect.name != "sqlite":
        return True
    deadline = time.monotonic() + seconds
    while not _truncate_log(engine):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOG_PAUSE_SECONDS)
    return True


def _truncate_log(engine: Engine) -> bool:
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        ((patience,),) = cursor.execute("PRAGMA busy_timeout").fetchall()
        cursor.execute("PRAGMA busy_timeout=0")
        try:
            ((busy, _in_log, _moved),) = cursor.execute(
                "PRAGMA wal_checkpoint(TRUNCATE)"
            ).fetchall()
        finally:
            cursor.execute(f"PRAGMA busy_timeout={patience}")
        return not busy
    except sqlite3.Error:
        return False
    finally:
        connection.close()


def one_line_reason(error: BaseException, url: URL) -> str:
    """The driver's own words in one line, without statement, parameters or password."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    lines = str(cause).strip().splitlines()
    reason = " ".join(line.strip() for line in lines[:2]) or type(cause).__name__
    for secret in (url.password, url.query.get("password")):
        if secret:
            reason = reason.replace(str(secret), "***")
    return reason


def _open_postgresql(url: URL, writable: bool, milliseconds: int) -> Engine:
    try:
        # A statement must see what was committed while it waited for the lock.
        engine = create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            connect_args={"connect_timeout": _CONNECT_SECONDS, "client_encoding": "utf8"},
            execution_options={} if writable else {"postgresql_readonly": True},
        )
    except ModuleNotFoundError as error:
        raise StoreError(
            f"{describe(url)}: the PostgreSQL driver is not installed",
            remedy="run: pip install 'sgps[postgres]'",
        ) from error

    def lock(connection: Connection) -> None:
        if _writes(connection):
            connection.execute(text(f"SET LOCAL lock_timeout = {milliseconds}"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))

    event.listen(engine, "begin", lock)
    return engine


def _open_sqlite(url: URL, writable: bool, milliseconds: int) -> Engine:
    path = Path(url.database or "")
    if writable:
        _make_private(path)
    elif not path.is_file():
        raise StoreError(f"there is no ledger at {path}", expected="a ledger that was written to")
    writable = writable and (not path.exists() or _may_write(path))
    engine = create_engine(
        url if writable else _read_only(url, path),
        hide_parameters=True,
        connect_args={"timeout": milliseconds / 1000},
    )

    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        pragmas = [f"busy_timeout={milliseconds}", "foreign_keys=ON"]
        if writable:
            # secure_delete: an erased key must not be left in the file's free space.
            pragmas += ["journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"]
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(path: Path) -> None:
    """Make the folder and the file of a ledger, where they are missing, for their owner alone.

    SQLite gives the files beside it the permissions of the file itself.
    """
    folder = path.parent
    try:
        make_private_folder(folder)
    except OSError as error:
        raise StoreError(
            f"the ledger's folder {folder} cannot be made: {error.strerror}",
            remedy="choose a folder that you may write to (SGPS_HOME or SGPS_LEDGER_URL)",
        ) from error
    with suppress(OSError):  # SQLite says it better
        if not path.exists():
            path.touch(mode=0o600)


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _read_only(url: URL, path: Path) -> URL:
    """The same file for reading; ``immutable`` where nobody can be writing and WAL has no place."""
    has_log = path.with_name(path.name + "-wal").exists()
    query = {"uri": "true", "mode": "ro"}
    if not has_log and not os.access(path.parent, os.W_OK):
        query["immutable"] = "1"
    return url.set(database=f"file:{quote(str(path.absolute()))}", query=query)


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("sgps_writes"))


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")
