"""The ledger itself: append, look up, verify."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, Select, func, select
from sqlalchemy.exc import SQLAlchemyError

from sgps.audit._chain import LedgerEntry, StoredRow, Verification
from sgps.audit._database import (
    BUSY_SECONDS,
    WRITING,
    describe,
    forget_log,
    one_line_reason,
    open_engine,
    parse_url,
)
from sgps.audit._entries import Terms, append_entry
from sgps.audit._protection import lost_entries, missing_triggers
from sgps.audit._schema import is_current, upgrade
from sgps.audit._tables import ENTRIES
from sgps.audit._terms import TermsOfEntry, forget, matching, read_terms, read_values
from sgps.audit.checkpoints import Checkpoint, take_checkpoint, verify_against
from sgps.audit.outbox import Outbox
from sgps.audit.record_keys import RecordKeys
from sgps.errors import ConflictError, StoreError, UnknownNameError

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
    def open(cls, url: str, *, writable: bool = True, busy_seconds: float = BUSY_SECONDS) -> Ledger:
        """Open the ledger at a SQLAlchemy URL.

        Folder, database and tables are made where they are missing, and tables of an earlier
        revision are brought to the newest one. Where they are of the newest one already nothing
        is written, so that a ledger one may only read can be opened as well.

        Parameters
        ----------
        writable: False makes and changes nothing, neither now nor later.
        busy_seconds: how long a write waits for that of another process.

        Raises
        ------
        StoreError: the address is wrong, the database cannot be reached, its tables cannot be
            brought to the newest revision, or they are of a revision that this code does not know.
        """
        parsed = parse_url(url)
        engine = open_engine(parsed, writable=writable, busy_seconds=busy_seconds)
        ledger = cls(engine, parsed)
        try:
            ledger._require_current_tables(writable)
        except BaseException:
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

    def append_after(
        self,
        kind: str,
        subject: str,
        record: Mapping[str, Any],
        *,
        expect_newest: int | None,
        terms: Terms | None = None,
    ) -> LedgerEntry:
        """:meth:`append`, where the newest entry of this kind and subject is still the one known.

        Parameters
        ----------
        expect_newest: number of that entry; None where there was none.

        Raises
        ------
        ConflictError: somebody else added one meanwhile.
        InputError, StoreError: as :meth:`append`.
        """
        newest = select(func.max(ENTRIES.c.number)).where(
            ENTRIES.c.kind == kind, ENTRIES.c.subject == subject
        )
        with self._transaction(writes=True) as connection:
            found = connection.execute(newest).scalar_one()
            if found != expect_newest:
                raise ConflictError(
                    f"{subject}: somebody else was quicker (ledger entry {found}, kind {kind})",
                    remedy="look at it again, then decide",
                )
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

    def find(
        self, *, limit: int | None = None, **terms: str | Collection[str]
    ) -> list[LedgerEntry]:
        """Entries that carry every one of ``terms``, oldest first; with ``limit``, the newest.

        Of a term with several values one suffices.

        Raises
        ------
        StoreError: the database cannot be read.
        """
        return self._fetch_newest(matching(select(ENTRIES), terms), limit)

    def terms(self, numbers: Sequence[int]) -> dict[int, TermsOfEntry]:
        """The values of each name that these entries are found by. Raises StoreError."""
        with self._transaction() as connection:
            return read_terms(connection, numbers)

    def term_values(self, name: str, prefix: str = "") -> list[str]:
        """The values of one name that begin with ``prefix``, in order. Raises StoreError."""
        with self._transaction() as connection:
            return read_values(connection, name, prefix)

    def forget_terms(self, number: int, names: Sequence[str]) -> int:
        """Delete the terms of these names of an entry; how many there were.

        Terms are an index beside the chain: the entry itself stays as it is.

        Raises
        ------
        StoreError: the database cannot be written.
        """
        with self._transaction(writes=True, erases=True) as connection:
            return forget(connection, number, names)

    def forget_log(self, seconds: float = BUSY_SECONDS) -> bool:
        """Empty SQLite's write-ahead log of what was deleted; False where it stayed in use.

        Whatever deletes tries so by itself, but waits for nobody. In PostgreSQL there is none.

        Parameters
        ----------
        seconds: how long to wait for those who read or write.

        Raises
        ------
        StoreError: the database cannot be used.
        """
        with self._store_errors("written"):
            return forget_log(self._engine, seconds)

    @property
    def outbox(self) -> Outbox:
        """The requests that were accepted."""
        return Outbox(self._transaction)

    @property
    def record_keys(self) -> RecordKeys:
        """The keys behind the digests of the records."""
        return RecordKeys(self._transaction)

    def verify(self, checkpoint: Checkpoint | None = None) -> Verification:
        """Walk the whole chain and name the first bad entry, if there is one.

        Entries that were cut off at the end are missed only by a ``checkpoint`` that saw them.

        Raises
        ------
        StoreError: the database cannot be read.
        """
        with self._transaction() as connection:
            return verify_against(_walk(connection), checkpoint)

    def checkpoint(self) -> Checkpoint:
        """How far the ledger goes now, to be kept elsewhere.

        Raises
        ------
        StoreError: the database cannot be read.
        """
        with self._transaction() as connection:
            return take_checkpoint(connection)

    def missing_protection(self) -> list[str]:
        """Triggers against changes that are gone, switched off or altered. Raises StoreError."""
        with self._transaction() as connection:
            return missing_triggers(connection)

    def lost_entries(self) -> list[tuple[int | None, str]]:
        """Entries that other tables tell of and that are not there.

        Number, None where it is not known, and what the entry was about. Raises StoreError.
        """
        with self._transaction() as connection:
            return lost_entries(connection)

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

    def _require_current_tables(self, writable: bool) -> None:
        with self._transaction() as connection:
            if is_current(connection):
                return
        if not writable:
            raise StoreError(
                f"the ledger {self.address} has no tables, or those of an earlier version",
                remedy="open it once with a command that writes, such as: sgps doctor",
            )
        with self._transaction(writes=True) as connection:
            upgrade(connection)

    @contextmanager
    def _transaction(self, *, writes: bool = False, erases: bool = False) -> Iterator[Connection]:
        """One transaction; with ``erases``, what it deleted leaves the write-ahead log too."""
        with self._store_errors("written" if writes else "read"):
            with self._engine.connect() as connection:
                if writes:
                    connection.execution_options(**WRITING)
                with connection.begin():
                    yield connection
            if erases:
                forget_log(self._engine)

    @contextmanager
    def _store_errors(self, act: str) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
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
    query = select(ENTRIES).order_by(ENTRIES.c.number).limit(_WALK_BATCH)
    batch = connection.execute(query).all()
    while batch:
        for row in batch:
            yield StoredRow(*row)
        batch = connection.execute(query.where(ENTRIES.c.number > batch[-1].number)).all()
