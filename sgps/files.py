"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from sgps.errors import StoreError

_READABLE, _PRIVATE = 0o666, 0o600


@contextmanager
def whole_file(path: Path, *, private: bool = False, durable: bool = True) -> Iterator[BinaryIO]:
    """Give a new file, which takes the place of ``path`` once the block ends without an error.

    Until then it stands beside it under a hidden name; where anything fails, that goes and a file
    of before stays as it is. Folders are made as needed.

    Parameters
    ----------
    path: of the file.
    private: only its owner may read it; else who could read the file of before, or whom the
        process's umask allows to.
    durable: what was written has reached the disk before it takes its place.

    Raises
    ------
    StoreError: the file cannot be written; the name, the reason and a remedy are told. Any
        ``OSError`` of the block is told so.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder has its name")
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = os.open(partial, flags, _PRIVATE if private else _READABLE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(descriptor)
            if path.exists() and not private:
                shutil.copymode(path, partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_whole(path: Path, content: bytes | str, *, private: bool = False) -> None:
    """Write a file by :func:`whole_file`; a text as UTF-8, its line ends as they are."""
    with whole_file(path, private=private) as file:
        file.write(_encoded(content))


def write_all_whole(contents: Mapping[Path, bytes | str]) -> None:
    """Write files as :func:`write_whole` does; none takes its place before all are ready."""
    with ExitStack() as opened:
        files = {path: opened.enter_context(whole_file(path)) for path in contents}
        for path, file in files.items():
            try:
                file.write(_encoded(contents[path]))
                file.flush()
            except OSError as error:
                raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> StoreError:
    """Return what is to be raised where ``error`` keeps a file or folder from being written."""
    return StoreError(
        f"{path}: cannot be written ({error.strerror or error})",
        expected="a folder with room and permission to write",
        remedy="choose another path",
    )


def _encoded(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content
