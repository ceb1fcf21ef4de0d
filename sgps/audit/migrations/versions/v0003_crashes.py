"""How often in a row the work on a request ended unexpectedly."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the count to the outbox; nothing is known of the past."""
    op.add_column("requests", sa.Column("crashes", sa.Integer, nullable=False, server_default="0"))
