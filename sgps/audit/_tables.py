"""Tables of the ledger, and the triggers that make its entries append-only."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    text,
)

METADATA = MetaData()

ENTRIES = Table(
    "ledger_entries",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("time", String(40), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("record", Text, nullable=False),
    Column("previous_digest", String(64), nullable=False, unique=True),
    Column("digest", String(64), nullable=False, unique=True),
    Index("ix_ledger_entries_kind_subject", "kind", "subject"),
    Index("ix_ledger_entries_subject", "subject"),
)

# An index to search by; it can be rebuilt from the records, so the chain does not cover it.
TERMS = Table(
    "ledger_terms",
    METADATA,
    Column("number", Integer, ForeignKey("ledger_entries.number"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", String(255), primary_key=True),
    Index("ix_ledger_terms_name_value", "name", "value"),
)

# Requests on their way into the ledger; rows change until they are done.
REQUESTS = Table(
    "requests",
    METADATA,
    Column("request_id", String(64), primary_key=True),
    Column("key", String(255), nullable=False, unique=True),
    Column("body_digest", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("requester", String(255), nullable=False),
    Column("task", String(255), nullable=False),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("leased_until", Float(53), nullable=False),
    Column("error", Text, nullable=False),
    Column("receipt", Text),
    Column("entry", Integer, ForeignKey("ledger_entries.number")),
    Column("created", String(40), nullable=False),
    Column("updated", String(40), nullable=False),
    Index("ix_requests_state_created", "state", "created"),
)

# Secrets behind the digests of a record; erasing one makes its digests meaningless.
RECORD_KEYS = Table(
    "record_keys",
    METADATA,
    Column("record_id", String(64), primary_key=True),
    Column("key", String(64), nullable=False),
)

# INSERT OR REPLACE deletes without firing the delete trigger, hence the third.
_SQLITE_TRIGGERS = (
    """CREATE TRIGGER ledger_entries_no_update BEFORE UPDATE ON ledger_entries
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER ledger_entries_no_delete BEFORE DELETE ON ledger_entries
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER ledger_entries_no_replace BEFORE INSERT ON ledger_entries
       WHEN EXISTS (SELECT 1 FROM ledger_entries WHERE number >= NEW.number
                    OR digest = NEW.digest OR previous_digest = NEW.previous_digest)
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
)

_POSTGRESQL_TRIGGERS = (
    """CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$""",
    """CREATE TRIGGER ledger_entries_no_change BEFORE UPDATE OR DELETE ON ledger_entries
       FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change()""",
    """CREATE TRIGGER ledger_entries_no_truncate BEFORE TRUNCATE ON ledger_entries
       FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()""",
)


def create_tables(connection: Connection) -> None:
    """Create tables and triggers where they are missing, inside the caller's write transaction."""
    is_new = not inspect(connection).has_table(ENTRIES.name)
    METADATA.create_all(connection)
    if not is_new:
        return
    is_postgresql = connection.dialect.name == "postgresql"
    for statement in _POSTGRESQL_TRIGGERS if is_postgresql else _SQLITE_TRIGGERS:
        connection.execute(text(statement))
