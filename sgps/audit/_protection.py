"""What a ledger without its triggers, or without its entries, still gives away."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, text

from sgps.audit._requests import RequestState
from sgps.audit._tables import ENTRIES, RECORD_KEYS, REQUESTS
from sgps.audit._triggers import (
    POSTGRESQL_REFUSAL,
    POSTGRESQL_TRIGGERS,
    POSTGRESQL_TYPES,
    SQLITE_TRIGGERS,
)

_POSTGRESQL_QUERY = """
    SELECT trigger.tgname AS name, trigger.tgtype AS type, refusal.prosrc AS body
    FROM pg_trigger AS trigger JOIN pg_proc AS refusal ON refusal.oid = trigger.tgfoid
    WHERE trigger.tgrelid = to_regclass('ledger_entries') AND NOT trigger.tgisinternal
      AND trigger.tgenabled IN ('O', 'A') AND trigger.tgqual IS NULL
"""


def missing_triggers(connection: Connection) -> list[str]:
    """Names of the triggers that are gone, switched off, or do something else."""
    if connection.dialect.name == "postgresql":
        refusal = _plain(POSTGRESQL_REFUSAL)
        rows = connection.execute(text(_POSTGRESQL_QUERY)).all()
        sound = {
            row.name
            for row in rows
            if POSTGRESQL_TYPES.get(row.name) == row.type and _plain(row.body) == refusal
        }
        return [name for name in POSTGRESQL_TRIGGERS if name not in sound]
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    found = {row.name: _plain(row.sql) for row in connection.execute(text(query))}
    return [name for name, made in SQLITE_TRIGGERS.items() if found.get(name) != _plain(made)]


def lost_entries(connection: Connection) -> list[tuple[int | None, str]]:
    """Entries that are not there and must have been: number, where it is known, and of what.

    A request is done only together with its entry. A key belongs to a record: where there is no
    entry at all, only requests that are not done may have one.
    """
    entries = select(ENTRIES.c.number)
    done = (
        select(REQUESTS.c.entry, REQUESTS.c.request_id)
        .where(REQUESTS.c.state == RequestState.DONE)
        .where(REQUESTS.c.entry.is_(None) | REQUESTS.c.entry.not_in(entries))
        .order_by(REQUESTS.c.entry, REQUESTS.c.request_id)
    )
    found: list[tuple[int | None, str]] = [
        (row.entry, f"request {row.request_id}, which is done") for row in connection.execute(done)
    ]
    if not found and connection.execute(entries.limit(1)).first() is None:
        open_requests = select(REQUESTS.c.request_id).where(REQUESTS.c.state != RequestState.DONE)
        keys = select(func.count()).select_from(RECORD_KEYS)
        orphans = keys.where(RECORD_KEYS.c.record_id.not_in(open_requests))
        count = int(connection.execute(orphans).scalar_one())
        found += [(None, f"{count} records whose keys are there")] if count else []
    return found


def _plain(statement: str | None) -> str:
    return " ".join((statement or "").split())
