"""Requests on their way into the ledger, and the keys behind the digests of its records."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the outbox and of the record keys."""
    op.create_table(
        "requests",
        sa.Column("request_id", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(255), nullable=False, unique=True),
        sa.Column("body_digest", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("requester", sa.String(255), nullable=False),
        sa.Column("task", sa.String(255), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("leased_until", sa.Float(53), nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("receipt", sa.Text),
        sa.Column("entry", sa.Integer, sa.ForeignKey("ledger_entries.number")),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("updated", sa.String(40), nullable=False),
    )
    op.create_index("ix_requests_state_created", "requests", ["state", "created"])
    op.create_table(
        "record_keys",
        sa.Column("record_id", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
    )
