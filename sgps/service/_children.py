"""One server as a child process: started behind a guard, looked at, let go."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from sgps.errors import OperatorError
from sgps.service import _guard
from sgps.service._servers import Server
from sgps.settings import make_private_folder

GRACE_SECONDS = 20.0
"""How long a server may take to stop before it is killed."""

GUARD_SECONDS = GRACE_SECONDS + 5.0
"""How long a guard may take to stop a server and all that came of it."""

_TAIL_LINES = 20
_LOG_BYTES = 5_000_000
_LOGS_KEPT = 3


class ServerFailureError(OperatorError):
    """A server ended, or did not answer; ``tail`` is the end of its log."""

    def __init__(self, what: str, log: Path, tail: str) -> None:
        super().__init__(f"{what}; see {log}")
        self.tail = tail


@dataclass
class Child:
    """A started server; made by :func:`start_child`."""

    server: Server
    guard: subprocess.Popen[bytes]
    lifeline: int
    log: Path
    log_start: int
    started: datetime

    def ending(self) -> str:
        """How it ended: "exit code 7", "signal SIGKILL"; "" while it lives."""
        code = self.guard.poll()
        return "" if code is None else _ending(code)

    def failure(self, what: str) -> ServerFailureError:
        """The error that says ``what`` happened to it, with the end of its log."""
        return ServerFailureError(f"{self.server.title} {what}", self.log, self._tail())

    def let_go(self) -> None:
        """Tell the guard to stop the server."""
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1

    def _tail(self) -> str:
        """The end of what the server wrote since its start, without secrets."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(self.log_start, self.log.stat().st_size - 20_000))
                lines = file.read().decode("utf-8", "replace").rstrip().splitlines()
        except OSError:
            return ""
        text = "\n".join(lines[-_TAIL_LINES:])
        for secret in self.server.secrets:
            text = text.replace(secret, "***")
        return text


def start_child(server: Server, log: Path, keep: int) -> Child:
    """Start a server whose output goes to ``log``.

    ``keep`` is a file descriptor that stays open until the last process of the server is gone.

    Raises
    ------
    OSError: a folder, the log or the process cannot be made.
    SgpsError: what ``server.prepare`` raises.
    """
    make_private_folder(server.folder)
    if server.prepare is not None:
        server.prepare()
    reading, writing = os.pipe()
    try:
        with open_log(log) as output:
            started = datetime.now(UTC)
            position = output.tell()
            guard = subprocess.Popen(
                _guarded(server.command, reading, keep),
                env=dict(server.environment),
                cwd=server.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(reading, keep),
                start_new_session=True,
            )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    return Child(server, guard, writing, log, position, started)


def stop_children(children: Iterable[Child]) -> None:
    """Stop servers together; who does not obey is killed."""
    children = list(children)
    for child in children:
        child.let_go()
    until = time.monotonic() + GUARD_SECONDS
    for child in children:
        try:
            child.guard.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.guard.kill()
            child.guard.wait()


@contextmanager
def open_log(path: Path) -> Iterator[BinaryIO]:
    """The log to append to, readable by its owner alone; a long one is put aside first."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_BYTES:
            for number in range(_LOGS_KEPT - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{path}.{number}").replace(f"{path}.{number + 1}")
            path.replace(f"{path}.1")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.seek(0, os.SEEK_END)
        yield file


def _guarded(command: tuple[str, ...], lifeline: int, keep: int) -> list[str]:
    guard = [sys.executable, "-I", "-S", str(_guard.__file__)]
    return [*guard, str(GRACE_SECONDS), str(lifeline), str(keep), "--", *command]


def _ending(code: int) -> str:
    number = -code if code < 0 else code - 128
    try:
        return f"signal {signal.Signals(number).name}"
    except ValueError:
        return f"exit code {code}"
