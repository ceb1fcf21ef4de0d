"""The ledger itself: append, look up, verify."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, Select, delete, select
from sqlalchemy.exc import SQLAlchemyError

from sgps.audit._chain import LedgerEntry, StoredRow, Verification, verify_rows
from sgps.audit._database import WRITING, describe, one_line_reason, open_engine, parse_url
from sgps.audit._entries import Terms, append_entry
from sgps.audit._tables import ENTRIES, TERMS, create_tables
from sgps.audit.outbox import Outbox
from sgps.audit.record_keys import RecordKeys
from sgps.errors import StoreError, UnknownNameError

_WALK_BATCH = 1_000


class Ledger:
    """Append-only entries in SQLite or PostgreSQL; safe to share between threads.

    The database refuses to update or delete an entry, and every entry's digest covers that of the
    one before it. Open it with :meth:`open`; close it, or use it as a context manager.
    """

    def __init__(self, engine: Engine, url: URL) -> None:
        self._engine = engine
        self._url = url

    @classmethod
    def open(cls, url: str) -> Ledger:
        """Open the ledger at a SQLAlchemy URL, creating folder, tables and triggers where missing.

        Raises
        ------
        StoreError: the address is wrong, or the database cannot be reached or written.
        """
        parsed = parse_url(url)
        ledger = cls(open_engine(parsed), parsed)
        try:
            with ledger._transaction(writes=True) as connection:
                create_tables(connection)
        except StoreError:
            ledger.close()
            raise
        return ledger

    @property
    def address(self) -> str:
        """Where the ledger lives, without user or password."""
        return describe(self._url)

    def append(
        self, kind: str, subject: str, record: Mapping[str, Any], *, terms: Terms | None = None
    ) -> LedgerEntry:
        """Add one entry, durably, and return it.

        Parameters
        ----------
        kind: what was done, such as ``synthesize`` (1 to 64 characters).
        subject: what it was done to, such as ``models:/name/1`` (1 to 255 characters).
        record: JSON-able facts.
        terms: names and values to find the entry by later, see :meth:`find`.

        Raises
        ------
        InputError: the record has no JSON form, or kind or subject has a wrong length.
        StoreError: the database cannot be written; then nothing was added.
        """
        with self._transaction(writes=True) as connection:
            return append_entry(connection, kind, subject, record, terms or {})

    def check_writable(self) -> None:
        """Prove, without leaving a trace, that an entry could be added now.

        Raises
        ------
        StoreError: it could not.
        """
        with self._transaction(writes=True) as connection:
            append_entry(connection, "check", "check", {}, {})
            connection.rollback()

    def get(self, number: int) -> LedgerEntry:
        """The entry of that number.

        Raises
        ------
        UnknownNameError: there is none.
        StoreError: the database cannot be read.
        """
        found = self._fetch(select(ENTRIES).where(ENTRIES.c.number == number))
        if not found:
            raise UnknownNameError(f"the ledger has no entry {number}")
        return found[0]

    def entries(
        self, kind: str | None = None, subject: str | None = None, *, limit: int | None = None
    ) -> list[LedgerEntry]:
        """Entries of a kind or subject, oldest first; with ``limit``, the newest that many.

        Raises
        ------
        StoreError: the database cannot be read.
        """
        query = select(ENTRIES)
        if kind is not None:
            query = query.where(ENTRIES.c.kind == kind)
        if subject is not None:
            query = query.where(ENTRIES.c.subject == subject)
        return self._fetch_newest(query, limit)

    def find(self, *, limit: int | None = None, **terms: str) -> list[LedgerEntry]:
        """Entries that carry every one of ``terms``, oldest first; with ``limit``, the newest.

        Raises
        ------
        StoreError: the database cannot be read.
        """
        query = select(ENTRIES)
        for name, value in terms.items():
            matching = select(TERMS.c.number).where(TERMS.c.name == name, TERMS.c.value == value)
            query = query.where(ENTRIES.c.number.in_(matching))
        return self._fetch_newest(query, limit)

    def forget_terms(self, number: int, names: Sequence[str]) -> int:
        """Delete the terms of these names of an entry; how many there were.

        Terms are an index beside the chain: the entry itself stays as it is.

        Raises
        ------
        StoreError: the database cannot be written.
        """
        chosen = delete(TERMS).where(TERMS.c.number == number, TERMS.c.name.in_(names))
        with self._transaction(writes=True) as connection:
            return int(connection.execute(chosen).rowcount)

    @property
    def outbox(self) -> Outbox:
        """The requests that were accepted."""
        return Outbox(self._transaction)

    @property
    def record_keys(self) -> RecordKeys:
        """The keys behind the digests of the records."""
        return RecordKeys(self._transaction)

    def verify(self) -> Verification:
        """Walk the whole chain and name the first bad entry, if there is one.

        Raises
        ------
        StoreError: the database cannot be read.
        """
        with self._transaction() as connection:
            return verify_rows(_walk(connection))

    def close(self) -> None:
        """Close the connections; the ledger opens new ones if it is used again."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                if writes:
                    connection.execution_options(**WRITING)
                with connection.begin():
                    yield connection
        except (SQLAlchemyError, OSError) as error:
            act = "written" if writes else "read"
            raise StoreError(
                f"the ledger {self.address} cannot be {act}: {one_line_reason(error, self._url)}",
                remedy="check that the database is there and that you may write to it",
            ) from error

    def _fetch(self, query: Select[Any]) -> list[LedgerEntry]:
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [LedgerEntry.from_row(StoredRow(*row)) for row in rows]

    def _fetch_newest(self, query: Select[Any], limit: int | None) -> list[LedgerEntry]:
        newest_first = query.order_by(ENTRIES.c.number.desc()).limit(limit)
        return self._fetch(newest_first)[::-1]


def _walk(connection: Connection) -> Iterator[StoredRow]:
    last = 0
    while True:
        batch = connection.execute(
            select(ENTRIES)
            .where(ENTRIES.c.number > last)
            .order_by(ENTRIES.c.number)
            .limit(_WALK_BATCH)
        ).all()
        for row in batch:
            yield StoredRow(*row)
        if len(batch) < _WALK_BATCH:
            return
        last = batch[-1].number
