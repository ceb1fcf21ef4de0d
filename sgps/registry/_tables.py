"""MLflow's tables in an SQLite file: made, and brought up to date, as a whole or not at all.

MLflow's own migrations can be cut off half-way by a kill or a full disk, and then no later attempt
succeeds. So they run on a scratch file, whose pages SQLite copies into place in one transaction.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import Enum, auto
from pathlib import Path

from sgps.errors import StoreError
from sgps.registry._schema import mlflow_revisions

_BUSY_SECONDS = 60.0
_SCRATCH = ".making"
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_FIRST_TABLE = "experiments"
_VERSION_TABLE = "alembic_version"
_COPYING = "_alembic_tmp_"
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'"
_VERSIONS = f"SELECT version_num FROM {_VERSION_TABLE}"
_NO_VERSIONS = "SELECT NULL WHERE FALSE"
_SEEDED = {"experiments": "Default", "workspaces": "default"}
"""Rows that MLflow writes by itself: table and ``name``."""


class Condition(Enum):
    """What an SQLite file is, as a place for MLflow's tables."""

    CURRENT = auto()
    TO_MAKE = auto()
    """There are no tables, or what an interrupted beginning left, without any content."""
    TO_UPGRADE = auto()
    """Tables of an older MLflow, with content."""


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite address; None where the address is none of a file."""
    path = uri.partition(":///")[2].partition("?")[0]
    return Path(path) if uri.startswith("sqlite") and path not in ("", ":memory:") else None


def find_condition(path: Path) -> Condition:
    """What there is to do before MLflow may open the file; nothing is changed.

    Raises
    ------
    StoreError: the file belongs to another program or a newer MLflow.
    sqlite3.Error: it cannot be read, or is no database.
    """
    if not path.exists():
        return Condition.TO_MAKE
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as store:
        tables = {name for (name,) in store.execute(_TABLES)}
        query = _VERSIONS if _VERSION_TABLE in tables else _NO_VERSIONS
        found = {name for (name,) in store.execute(query)}
        revisions = mlflow_revisions()
        if found == revisions.newest:
            return Condition.CURRENT
        ours = found <= revisions.known and (
            bool(found) or _FIRST_TABLE in tables or tables <= {_VERSION_TABLE}
        )
        if ours and not any(_has_content(store, table) for table in tables):
            return Condition.TO_MAKE
        if ours and found:
            return Condition.TO_UPGRADE
    raise StoreError(
        f"the database {path} holds what the installed MLflow cannot read",
        expected="a file of this or an older MLflow, and of no other program",
        remedy="name another file in SGPS_TRACKING_URI, or restore this one from a backup",
    )


@contextmanager
def complete_tables(uri: str) -> Iterator[None]:
    """Make or upgrade the tables of an SQLite store, and keep others from opening it in the block.

    Whatever interrupts it, it can be done again. Nothing is done to stores of other kinds.

    Raises
    ------
    StoreError: the file belongs to another program or a newer MLflow.
    sqlite3.Error, OSError, MlflowException, ...: it cannot be read or written.
    """
    path = sqlite_file(uri)
    if path is None:
        yield
        return
    with _one_at_a_time(path):
        condition = find_condition(path)
        if condition is not Condition.CURRENT:
            _complete(path, uri, copy_first=condition is Condition.TO_UPGRADE)
        yield


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """A lock on an SQLite file of its own, which the system gives back when a process dies."""
    lock_path = path.with_suffix(".opening")
    with closing(sqlite3.connect(lock_path, timeout=_BUSY_SECONDS, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield


def _complete(path: Path, uri: str, *, copy_first: bool) -> None:
    from sgps.registry._mlflow import upgrade_tables  # noqa: PLC0415  (takes seconds to load)

    address, mark, query = uri.partition("?")
    with _scratch_file(path) as scratch:
        if copy_first:
            _copy(path, scratch)
        upgrade_tables(f"{address}{_SCRATCH}{mark}{query}")
        _copy(scratch, path)


def _has_content(store: sqlite3.Connection, table: str) -> bool:
    """Whether a table, or a migration's copy of it, has a row that MLflow did not seed."""
    if table == _VERSION_TABLE:
        return False
    seeded = _SEEDED.get(table.removeprefix(_COPYING))
    quoted = table.replace('"', '""')
    query = f'SELECT 1 FROM "{quoted}"' + (" WHERE name IS NOT ?" if seeded else "") + " LIMIT 1"
    return store.execute(query, (seeded,) if seeded else ()).fetchone() is not None


def _copy(source: Path, target: Path) -> None:
    """Replace the content of ``target`` by that of ``source``, in one transaction."""
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as place:
        original.backup(place, progress=_patience())


def _patience() -> Callable[[int, int, int], None]:
    until = time.monotonic() + _BUSY_SECONDS

    def progress(status: int, _remaining: int, _total: int) -> None:
        if status in _BUSY and time.monotonic() > until:
            raise sqlite3.OperationalError("database is locked")

    return progress


@contextmanager
def _scratch_file(path: Path) -> Iterator[Path]:
    """A file beside ``path`` that is gone afterwards, as is what a killed process left of it."""
    scratch = path.with_name(path.name + _SCRATCH)
    _remove(scratch)
    try:
        yield scratch
    finally:
        _remove(scratch)


def _remove(scratch: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            scratch.with_name(scratch.name + suffix).unlink()
