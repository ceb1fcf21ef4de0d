"""Engines for the ledger: how a URL becomes one, and what its transactions guarantee."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from sgps.errors import StoreError

_BUSY_MILLISECONDS = 10_000
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


def open_engine(url: URL) -> Engine:
    """An engine whose write transactions are durable and never interleave.

    SQLite: WAL, synchronous=FULL, ``BEGIN IMMEDIATE``. PostgreSQL: an advisory lock for the
    length of a write transaction. A transaction writes where the connection carries ``WRITING``.

    Raises
    ------
    StoreError: the folder cannot be made, or the PostgreSQL driver is not installed.
    """
    if url.drivername == "sqlite":
        return _open_sqlite(url)
    try:
        engine = create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            connect_args={"connect_timeout": _CONNECT_SECONDS, "client_encoding": "utf8"},
        )
    except ModuleNotFoundError as error:
        raise StoreError(
            f"{describe(url)}: the PostgreSQL driver is not installed",
            remedy="run: pip install 'sgps[postgres]'",
        ) from error
    event.listen(engine, "begin", _lock_postgresql)
    return engine


def one_line_reason(error: BaseException, url: URL) -> str:
    """The driver's own words in one line, without statement, parameters or password."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    lines = str(cause).strip().splitlines()
    reason = " ".join(line.strip() for line in lines[:2]) or type(cause).__name__
    for secret in (url.password, url.query.get("password")):
        if secret:
            reason = reason.replace(str(secret), "***")
    return reason


def _open_sqlite(url: URL) -> Engine:
    folder = Path(url.database or "").parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the ledger's folder {folder} cannot be made: {error.strerror}",
            remedy="choose a folder that you may write to (SGPS_HOME or SGPS_LEDGER_URL)",
        ) from error
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": _BUSY_MILLISECONDS / 1000}
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={_BUSY_MILLISECONDS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("sgps_writes"))


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _lock_postgresql(connection: Connection) -> None:
    if _writes(connection):
        connection.execute(text(f"SET LOCAL lock_timeout = {_BUSY_MILLISECONDS}"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
