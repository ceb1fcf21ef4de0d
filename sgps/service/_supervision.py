"""Servers as children: started, waited for, watched and stopped together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import BinaryIO, Self

from sgps.errors import OperatorError
from sgps.service import _guard
from sgps.service._run_state import ServerState
from sgps.service._servers import Server
from sgps.settings import require_writable

GRACE_SECONDS = 20.0
"""How long a server may take to stop before it is killed."""

GUARD_SECONDS = GRACE_SECONDS + 5.0
"""How long a guard may take to stop a server and all that came of it."""

_POLL_SECONDS = 0.1
_HEALTH_SECONDS = 0.3
_TAIL_LINES = 20
_LOG_BYTES = 5_000_000
_LOGS_KEPT = 3

Say = Callable[[str], None]


class ServerFailureError(OperatorError):
    """A server ended, or did not answer; ``tail`` is the end of its log."""

    def __init__(self, what: str, log: Path, tail: str) -> None:
        super().__init__(f"{what}; see {log}")
        self.tail = tail


class StopRequest:
    """Whether somebody asked this process to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Turn Ctrl-C, SIGTERM and a closed terminal into a request that a loop can look at."""
    request = StopRequest()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, request._note) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class _Child:
    server: Server
    guard: subprocess.Popen[bytes]
    lifeline: int
    log: Path
    log_start: int
    started: datetime

    def tail(self) -> str:
        """The end of what the server wrote since its start, without secrets."""
        with self.log.open("rb") as file:
            file.seek(max(self.log_start, self.log.stat().st_size - 20_000))
            lines = file.read().decode("utf-8", "replace").rstrip().splitlines()
        text = "\n".join(lines[-_TAIL_LINES:])
        for secret in self.server.secrets:
            text = text.replace(secret, "***")
        return text

    def require_alive(self) -> None:
        code = self.guard.poll()
        if code is not None:
            raise ServerFailureError(
                f"{self.server.title} ended by itself ({_ending(code)})", self.log, self.tail()
            )

    def let_go(self) -> None:
        """Tell the guard to stop the server."""
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1


class ServerGroup:
    """Servers that live and end together.

    Parameters
    ----------
    servers: in the order in which they may start.
    logs: folder of their logs.
    keep: a file descriptor that stays open until the last process of every server is gone.
    say: told what happens, a line at a time.
    """

    def __init__(self, servers: tuple[Server, ...], logs: Path, keep: int, say: Say) -> None:
        self._servers = servers
        self._logs = logs
        self._keep = keep
        self._say = say
        self._children: dict[str, _Child] = {}

    def describe(self) -> tuple[ServerState, ...]:
        """What the servers are, for the file that says what runs."""
        return tuple(
            ServerState(
                server.name,
                server.title,
                server.address,
                "" if server.health.fresh_field else server.health.url,
                str(self._log(server)),
            )
            for server in self._servers
        )

    def start(self, seconds: float, stop: StopRequest) -> bool:
        """Start every server, each after those it needs, until all answer.

        Returns
        -------
        False if ``stop`` was asked for meanwhile.

        Raises
        ------
        ServerFailureError: one ended, or did not answer within ``seconds``.
        """
        require_writable(self._logs)
        begun = time.monotonic()
        waiting, ready = list(self._servers), set[str]()
        while len(ready) < len(self._servers):
            for server in [one for one in waiting if ready.issuperset(one.after)]:
                waiting.remove(server)
                self._start(server)
            time.sleep(_HEALTH_SECONDS)
            for name, child in self._children.items():
                if stop:
                    return False
                child.require_alive()
                if name not in ready and child.server.health.answers(child.started):
                    if child.server.complete is not None:
                        child.server.complete()
                    ready.add(name)
                    took = time.monotonic() - begun
                    self._say(f"{child.server.title}: works after {took:.1f} s")
                elif name not in ready and time.monotonic() - begun > seconds:
                    raise ServerFailureError(
                        f"{child.server.title} did not answer within {seconds:.0f} s",
                        child.log,
                        child.tail(),
                    )
        return True

    def watch(self, stop: StopRequest) -> None:
        """Return when ``stop`` is asked for.

        Raises
        ------
        ServerFailureError: a server ended by itself.
        """
        while not stop:
            for child in self._children.values():
                child.require_alive()
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop every server, those that need others first; who does not obey is killed."""
        children = list(self._children.values())
        _stop_all([child for child in children if child.server.after])
        _stop_all([child for child in children if not child.server.after])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _log(self, server: Server) -> Path:
        return self._logs / f"{server.name}.log"

    def _start(self, server: Server) -> None:
        server.folder.mkdir(parents=True, exist_ok=True)
        if server.prepare is not None:
            server.prepare()
        log = self._log(server)
        self._say(f"{server.title}: starting, log {log}")
        reading, writing = os.pipe()
        with open_log(log) as output:
            started = datetime.now(UTC)
            position = output.tell()
            guard = subprocess.Popen(
                _guarded(server.command, reading, self._keep),
                env=dict(server.environment),
                cwd=server.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(reading, self._keep),
                start_new_session=True,
            )
        os.close(reading)
        self._children[server.name] = _Child(server, guard, writing, log, position, started)


def _stop_all(children: list[_Child]) -> None:
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
