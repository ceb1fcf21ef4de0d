"""Run by Alembic: applies revisions on the connection, and in the transaction, of the caller."""

from __future__ import annotations

from alembic import context

from sgps.audit._schema import VERSION_TABLE
from sgps.audit._tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
context.run_migrations()
