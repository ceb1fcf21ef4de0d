"""Predictions on file, so that a benchmark resumes where it stopped.

A prediction is looked up by what it was made of: the support and query pixels as the method got
them, the class names and texts, and the method's name and details. A method whose code changes
must therefore say so in its details.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import zlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from sgps.errors import IntegrityError, StoreError
from sgps.evaluation.methods import EpisodeInputs, Images, Method, Prediction
from sgps.evaluation.metrics import Floats, Ints

_APPLICATION_ID = 0x53475053
_FORMAT_VERSION = 1
_PENDING_AT_MOST = 256
_SECONDS_BETWEEN_WRITES = 5.0
_SECONDS_TO_WAIT = 60.0
_SCHEMA = """
CREATE TABLE predictions (
    key BLOB PRIMARY KEY, n_way INTEGER NOT NULL, probabilities BLOB NOT NULL, familiarity BLOB,
    seconds REAL NOT NULL, query_seconds REAL, checksum INTEGER NOT NULL
) WITHOUT ROWID
"""
_Record = tuple[bytes, int, bytes, bytes | None, float, float | None, int]


class PoolDigests:
    """Digests of the images of a pool uint8 (M, 3, H, W), each computed when first asked for."""

    def __init__(self, pool: Images) -> None:
        self._pool = pool
        self._known: dict[int, str] = {}

    def of(self, rows: Ints) -> list[str]:
        """Return the SHA-256 of the pixels of each row, in their order."""
        for row in rows.tolist():
            if row not in self._known:
                pixels = np.ascontiguousarray(self._pool[row])
                self._known[row] = hashlib.sha256(pixels.data).hexdigest()
        return [self._known[row] for row in rows.tolist()]


def method_digest(method: Method) -> str:
    """Return the SHA-256 of a method's name and details."""
    return _digest([method.name, method.details()])


def inputs_digest(episode: EpisodeInputs, pool: PoolDigests, queries: PoolDigests) -> str:
    """Return the SHA-256 of everything that a method is given.

    pool, queries: the digests of `episode.pool` and of `episode.queries_from`.
    """
    return _digest(
        [
            episode.class_names,
            episode.descriptions,
            episode.pool.shape[1:],
            [pool.of(rows) for rows in episode.support_rows],
            queries.of(episode.query_rows),
        ]
    )


def prediction_key(method: str, inputs: str) -> bytes:
    """Return the key of a prediction from `method_digest` and `inputs_digest`."""
    return hashlib.sha256(f"{method}:{inputs}".encode()).digest()


def as_stored(prediction: Prediction) -> Prediction:
    """Return a prediction with the precision of the file, float32."""
    familiarity = prediction.familiarity_Q
    return Prediction(
        _as_float32(prediction.probs_QN),
        prediction.seconds,
        prediction.query_seconds,
        None if familiarity is None else _as_float32(familiarity),
    )


class EpisodeCache:
    """One SQLite file of predictions; a context manager that writes what is left on leaving.

    Predictions are written many at a time, at the latest after some seconds, so that little is
    lost where a run is broken off.

    Raises
    ------
    IntegrityError: the file is damaged or of another program. StoreError: it cannot be opened or
        written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found = 0
        """How many predictions were read from the file."""
        self.added = 0
        """How many were put into it."""
        self._pending: dict[bytes, _Record] = {}
        self._last_write = time.monotonic()
        self._connection = _open(path)

    def __enter__(self) -> EpisodeCache:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def get(self, key: bytes) -> Prediction | None:
        """Return the prediction under a key, None where there is none.

        Raises
        ------
        IntegrityError: the file is damaged.
        """
        record = self._pending.get(key) or self._read(key)
        if record is None:
            return None
        self.found += 1
        return _prediction(self.path, record)

    def put(self, key: bytes, prediction: Prediction) -> None:
        """Keep a prediction.

        Raises
        ------
        StoreError: the file cannot be written.
        """
        self._pending[key] = _record(key, prediction)
        self.added += 1
        waited = time.monotonic() - self._last_write
        if len(self._pending) >= _PENDING_AT_MOST or waited >= _SECONDS_BETWEEN_WRITES:
            self.flush()

    def flush(self) -> None:
        """Write what was put since the last write, in one transaction.

        Raises
        ------
        IntegrityError: the file is damaged. StoreError: it cannot be written.
        """
        if self._pending:
            statement = "INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?, ?, ?, ?)"
            try:
                with self._connection:
                    self._connection.executemany(statement, self._pending.values())
            except sqlite3.Error as error:
                raise _failure(self.path, error) from error
            self._pending.clear()
        self._last_write = time.monotonic()

    def close(self) -> None:
        """Write what is left and close the file."""
        with closing(self._connection):
            self.flush()

    def _read(self, key: bytes) -> _Record | None:
        try:
            found = self._connection.execute("SELECT * FROM predictions WHERE key = ?", (key,))
            record: _Record | None = found.fetchone()
        except sqlite3.Error as error:
            raise _failure(self.path, error) from error
        return record


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=_SECONDS_TO_WAIT)
    except (OSError, sqlite3.Error) as error:
        raise _failure(path, error) from error
    try:
        _require_own_format(path, connection)
    except sqlite3.Error as error:
        connection.close()
        raise _failure(path, error) from error
    except IntegrityError:
        connection.close()
        raise
    return connection


def _require_own_format(path: Path, connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        stamp = tuple(
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        )
        if tables == 0 and stamp == (0, 0):
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_FORMAT_VERSION}")
        elif stamp != (_APPLICATION_ID, _FORMAT_VERSION):
            raise IntegrityError(
                f"{path}: not an episode cache of this version",
                expected="a file that sgps benchmark wrote, or a new one",
                remedy="choose another path",
            )


def _failure(path: Path, error: Exception) -> IntegrityError | StoreError:
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return IntegrityError(
            f"{path}: damaged, or not an episode cache ({error})",
            expected="a file that sgps benchmark wrote, or a new one",
            remedy="delete it or choose another path",
        )
    return StoreError(
        f"{path}: the episode cache cannot be used ({error})",
        expected="a file in a writable folder, used by nobody else",
        remedy="choose another path",
    )


def _record(key: bytes, prediction: Prediction) -> _Record:
    familiarity = prediction.familiarity_Q
    values = (
        prediction.probs_QN.shape[1],
        prediction.probs_QN.astype("<f4").tobytes(),
        None if familiarity is None else familiarity.astype("<f4").tobytes(),
        float(prediction.seconds),
        None if np.isnan(prediction.query_seconds) else float(prediction.query_seconds),
    )
    return (key, *values, _checksum(key, *values))


def _prediction(path: Path, record: _Record) -> Prediction:
    key, n_way, probabilities, familiarity, seconds, query_seconds, checksum = record
    values = (n_way, probabilities, familiarity, seconds, query_seconds)
    if _checksum(key, *values) != checksum:
        raise _failure(path, sqlite3.DatabaseError("a prediction does not match its checksum"))
    return Prediction(
        _floats(probabilities).reshape(-1, n_way),
        seconds,
        float("nan") if query_seconds is None else query_seconds,
        None if familiarity is None else _floats(familiarity),
    )


def _checksum(key: bytes, *values: object) -> int:
    checksum = zlib.crc32(key)
    for value in values:
        part = value if isinstance(value, bytes) else repr(value).encode()
        checksum = zlib.crc32(part, checksum)
    return checksum


def _floats(content: bytes) -> Floats:
    return np.frombuffer(content, dtype="<f4").astype(np.float64)


def _as_float32(values: Floats) -> Floats:
    return values.astype(np.float32).astype(np.float64)


def _digest(content: list[Any] | Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
