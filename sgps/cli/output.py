"""What the command writes: results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

from sgps.errors import StoreError

ProgressCall = Callable[[int, int], None]
StageCall = Callable[[str, int, int], None]

_SECONDS_BETWEEN_LINES = 60.0

COMMAND_LINE: ContextVar[str] = ContextVar("COMMAND_LINE", default="sgps")
"""The command as a shell would take it, for reports that say how they were made."""

_RESULT_STREAM: ContextVar[TextIO | None] = ContextVar("_RESULT_STREAM", default=None)


@contextlib.contextmanager
def reserved_stdout() -> Iterator[None]:
    """Send what libraries print to stderr, so that stdout holds nothing but the result."""
    token = _RESULT_STREAM.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _RESULT_STREAM.reset(token)


def write_result(text: str) -> None:
    """Write one or more lines of the result to stdout."""
    print(text, file=_RESULT_STREAM.get() or sys.stdout, flush=True)


def write_json(value: Any) -> None:
    """Write the result as one JSON value to stdout."""
    write_result(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def say(text: str) -> None:
    """Write one line for the person who waits to stderr."""
    print(text, file=sys.stderr, flush=True)


def format_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A left-aligned column for each cell of ``header``, the last one as wide as it likes."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    cells.insert(1, ["-" * len(name) for name in header])
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def format_pairs(pairs: Mapping[str, object]) -> str:
    """One ``name  value`` line a pair, the values aligned."""
    width = max(map(len, pairs), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in pairs.items())


def require_writable_file(path: Path) -> None:
    """See that a result can be written before the work for it begins; nothing is left behind.

    Raises
    ------
    StoreError: it is a folder, or its folder cannot be made or written.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror or error}",
            expected="a file in a writable folder",
            remedy="choose another path",
        ) from error


@contextlib.contextmanager
def stages() -> Iterator[StageCall]:
    """A bar a stage on a terminal, lines elsewhere.

    Called with (stage, done, total).
    """
    if not sys.stderr.isatty():
        yield _StageLines()
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    bars: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), transient=True) as display:

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = display.add_task(stage)
            display.update(bars[stage], completed=done, total=total)

        yield advance


@contextlib.contextmanager
def progress(stage: str) -> Iterator[ProgressCall]:
    """:func:`stages` of one stage; called with (done, total)."""
    with stages() as advance:
        yield functools.partial(advance, stage)


class _StageLines:
    """A line at the end of each stage, and one a minute while it goes on."""

    def __init__(self) -> None:
        self._last_line = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            say(f"{stage}: {done} of {total}")
