"""Which revision of the tables a database has, and how it gets the newest one."""

from __future__ import annotations

import threading
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from sgps.audit._tables import ENTRIES, RECORD_KEYS, REQUESTS
from sgps.errors import StoreError

# MLflow and Prefect keep a table "alembic_version" in databases that the ledger may share.
VERSION_TABLE = "ledger_schema_version"
REVISIONS = ("0001", "0002", "0003")
_MIGRATIONS = Path(__file__).parent / "migrations"
_ALEMBIC_IN_USE = threading.Lock()  # Alembic's context and operations are global


def is_current(connection: Connection) -> bool:
    """Whether the tables are those of the newest revision that this code knows.

    Raises
    ------
    StoreError: they are of a revision that this code does not know.
    """
    return _stored_revision(connection) == REVISIONS[-1]


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest revision, inside the caller's write transaction.

    A database without tables gets them; one from before the revisions were counted is adopted at
    the revision whose tables it has.

    Raises
    ------
    StoreError: the tables are of a revision that this code does not know.
    """
    if is_current(connection):
        return
    is_counted = _stored_revision(connection) is not None
    adopted = None if is_counted else _revision_of_uncounted_tables(connection)
    with _ALEMBIC_IN_USE:
        command, config = import_module("alembic.command"), _alembic_config(connection)
        if adopted is not None:
            command.stamp(config, adopted)
        command.upgrade(config, REVISIONS[-1])


def _alembic_config(connection: Connection) -> Any:
    config = import_module("alembic.config").Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _stored_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()
    unknown = sorted(set(found) - set(REVISIONS))
    if unknown or len(found) > 1:
        raise StoreError(
            f"the ledger's tables are of revision {', '.join(unknown or found)}",
            expected=f"revision {REVISIONS[-1]} or one before it",
            remedy="use the version of SGPS that wrote to this ledger last, or a newer one",
        )
    return found[0] if found else None


def _revision_of_uncounted_tables(connection: Connection) -> str | None:
    found = inspect(connection)
    names = set(found.get_table_names())
    if {REQUESTS.name, RECORD_KEYS.name} <= names:
        columns = {column["name"] for column in found.get_columns(REQUESTS.name)}
        return "0003" if REQUESTS.c.crashes.name in columns else "0002"
    return "0001" if ENTRIES.name in names else None
