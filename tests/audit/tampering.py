"""A ledger with entries, and changes to its tables as somebody with full rights could make them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, text

from sgps.audit import Ledger
from sgps.audit._database import parse_url


@contextmanager
def raw_connection(url: str) -> Iterator[Connection]:
    engine = create_engine(parse_url(url))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def tamper(url: str, *statements: str) -> None:
    """Change the tables as somebody with full rights could: without the triggers."""
    with raw_connection(url) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE ledger_entries DISABLE TRIGGER ALL"))
        else:
            for name in ("update", "delete", "replace"):
                connection.execute(text(f"DROP TRIGGER ledger_entries_no_{name}"))
        for statement in statements:
            connection.execute(text(statement))


def fill(ledger: Ledger, count: int) -> None:
    for number in range(count):
        ledger.append("synthesize", f"models:/demo/{number + 1}", {"value": number})
