"""Quick answers to "can this tracking store be used?", before MLflow's long retries begin."""

from __future__ import annotations

import os
import socket
import sqlite3
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import SplitResult, urlsplit, urlunsplit

from sgps.errors import SgpsError, StoreError
from sgps.registry._mlflow import MlflowClient, MlflowException
from sgps.registry._tables import complete_tables, sqlite_file
from sgps.registry.addresses import passwords_in, port_of, without_password

_SECONDS = 5
_DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mssql": 1433}
_REMEDY = "check SGPS_TRACKING_URI and that the store is running and writable"


def open_client(tracking_uri: str) -> MlflowClient:
    """A client of the store, whose tables are made where it is a new database.

    Raises
    ------
    StoreError: the store cannot be reached within a few seconds, or cannot be used.
    """
    check_reachable(tracking_uri)
    with store_errors(tracking_uri), quick_failure(), complete_tables(tracking_uri):
        return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def check_reachable(tracking_uri: str) -> None:
    """Find out within a few seconds whether a store answers.

    Raises
    ------
    StoreError: the folder or file cannot be written, or nothing answers at the address.
    """
    parts = urlsplit(tracking_uri)
    scheme = parts.scheme.split("+")[0]
    try:
        file = sqlite_file(tracking_uri)
        if file is not None:
            _check_sqlite(file)
        elif scheme in ("http", "https"):
            _check_server(parts)
        elif scheme in _DEFAULT_PORTS and parts.hostname:
            port = port_of(parts) or _DEFAULT_PORTS[scheme]
            socket.create_connection((parts.hostname, port), timeout=_SECONDS).close()
        elif scheme not in (*_DEFAULT_PORTS, "databricks", "databricks-uc", "uc"):
            raise StoreError(
                f"the tracking store {without_password(tracking_uri)} is of an unknown kind",
                expected="sqlite:///PATH, postgresql://HOST/DATABASE or http://HOST:PORT",
                remedy="correct SGPS_TRACKING_URI",
            )
    except (OSError, sqlite3.Error, ValueError) as error:
        raise _store_error(tracking_uri, error) from error


def check_folder(folder: Path) -> None:
    """Prove that a file can be made in ``folder``, which is created where it is missing.

    Raises
    ------
    StoreError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _store_error(str(folder), error) from error


@contextmanager
def store_errors(tracking_uri: str) -> Iterator[None]:
    """Turn whatever a tracking or artifact store raises into one StoreError.

    Artifact stores (S3, Azure, ...) raise exceptions of their own clients, so all are caught.
    """
    try:
        yield
    except SgpsError:
        raise
    except Exception as error:
        raise _store_error(tracking_uri, error) from error


@contextmanager
def quick_failure() -> Iterator[None]:
    """Let MLflow's HTTP client give up after one retry instead of after minutes."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _check_sqlite(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=_SECONDS, isolation_level=None)) as connection:
        connection.execute("PRAGMA schema_version").fetchone()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")


def _check_server(parts: SplitResult) -> None:
    port = port_of(parts)
    place = f"{parts.hostname}" + (f":{port}" if port else "")
    address = urlunsplit((parts.scheme, place, parts.path.rstrip("/") + "/health", "", ""))
    try:
        urllib.request.urlopen(address, timeout=_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code >= 500:
            raise


def _store_error(place: str, error: BaseException) -> StoreError:
    reason = str(error.message if isinstance(error, MlflowException) else error).strip()
    for password in passwords_in(place):
        reason = reason.replace(password, "***")
    first = reason.splitlines()[0] if reason else type(error).__name__
    return StoreError(
        f"the tracking store {without_password(place)} cannot be used: {first[:300]}",
        remedy=_REMEDY,
    )
