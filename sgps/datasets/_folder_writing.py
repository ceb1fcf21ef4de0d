"""A dataset's folder, written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgps.datasets._shards import DESCRIPTION_FILE
from sgps.errors import StoreError
from sgps.files import cannot_write


@contextmanager
def written_whole(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give an empty folder beside ``target``, which takes its place if the block succeeds.

    Whatever fails, nothing of it is left, and a dataset that was at ``target`` stays as it was.

    Raises
    ------
    StoreError: the folder cannot be written; or ``target`` is a dataset and ``overwrite`` is
        False, or it is something else.
    """
    _check_target(target, overwrite)
    working = _create_working_folder(target)
    try:
        yield working
        _move_into_place(working, target)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _check_target(target: Path, overwrite: bool) -> None:
    if not os.path.lexists(target):
        return
    if not (target / DESCRIPTION_FILE).is_file() or target.is_symlink():
        raise StoreError(
            f"{target} exists and is not a dataset",
            expected="a free name",
            remedy="choose another name or move it away",
        )
    if not overwrite:
        raise StoreError(
            f"dataset {target} exists already",
            expected="a free name",
            remedy="choose another name, or overwrite it (sgps ingest --overwrite)",
        )


def _create_working_folder(target: Path) -> Path:
    working = target.with_name(f".{target.name}.{secrets.token_hex(6)}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        working.mkdir()
    except OSError as error:
        raise cannot_write(target.parent, error) from error
    return working


def _move_into_place(working: Path, target: Path) -> None:
    replaced = working.with_suffix(".replaced")
    try:
        if target.exists():
            target.rename(replaced)
        try:
            working.rename(target)
        except OSError:
            if replaced.exists():
                replaced.rename(target)
            raise
    except OSError as error:
        raise cannot_write(target, error) from error
    shutil.rmtree(replaced, ignore_errors=True)
