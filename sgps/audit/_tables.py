"""Tables of the ledger as the newest revision in ``migrations`` leaves them."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
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
    Column("crashes", Integer, nullable=False, server_default="0"),
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
