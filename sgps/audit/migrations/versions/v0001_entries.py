"""Entries, their terms, and the triggers that make the entries append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

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


def upgrade() -> None:
    """Make the two tables of the ledger."""
    op.create_table(
        "ledger_entries",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("time", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("previous_digest", sa.String(64), nullable=False, unique=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
    )
    op.create_index("ix_ledger_entries_kind_subject", "ledger_entries", ["kind", "subject"])
    op.create_index("ix_ledger_entries_subject", "ledger_entries", ["subject"])
    op.create_table(
        "ledger_terms",
        sa.Column("number", sa.Integer, sa.ForeignKey("ledger_entries.number"), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(255), primary_key=True),
    )
    op.create_index("ix_ledger_terms_name_value", "ledger_terms", ["name", "value"])
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in _POSTGRESQL_TRIGGERS if is_postgresql else _SQLITE_TRIGGERS:
        op.execute(statement)
