"""Getting a store without a server ready for an MLflow server that is about to open it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from sgps.errors import StoreError
from sgps.registry._tables import Condition, complete_tables, find_condition, sqlite_file


def prepare_tables(tracking_uri: str, folder: Path) -> None:
    """Make or upgrade the tables of an SQLite store; other stores are left to MLflow.

    MLflow is loaded in a process of its own, and only where there is something to do. Neither a
    signal from the keyboard nor the end of this process reaches it.

    Parameters
    ----------
    folder: what a relative path of the address starts from; made where it is missing.

    Raises
    ------
    StoreError: the store cannot be read or written.
    """
    path = sqlite_file(tracking_uri)
    if path is None or _is_current(folder / path):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", __name__, tracking_uri],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            check=False,
            text=True,
        )
    except OSError as error:
        raise _error(tracking_uri, str(error)) from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise _error(tracking_uri, said[-1])


def main(tracking_uri: str) -> None:
    """Make or upgrade the tables in this process; end with one line where that fails."""
    from sgps.registry._reachability import (  # noqa: PLC0415  (loads MLflow)
        check_reachable,
        store_errors,
    )

    try:
        check_reachable(tracking_uri)
        with store_errors(tracking_uri), complete_tables(tracking_uri):
            pass
    except StoreError as error:
        raise SystemExit(error.what) from error


def _is_current(path: Path) -> bool:
    try:
        return find_condition(path) is Condition.CURRENT
    except sqlite3.Error:
        return False


def _error(tracking_uri: str, reason: str) -> StoreError:
    return StoreError(
        f"the tables of {tracking_uri} cannot be made or upgraded: {reason[:300]}",
        remedy="check SGPS_TRACKING_URI and that there is space on its disk",
    )


if __name__ == "__main__":
    main(sys.argv[1])
