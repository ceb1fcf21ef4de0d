"""Servers started in their order, waited for, watched, started again, and stopped together."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from sgps.errors import SgpsError
from sgps.service._children import Child, ServerFailureError, start_child, stop_children
from sgps.service._run_state import ServerState
from sgps.service._servers import Server
from sgps.settings import require_writable

TRIES_AT_START = 3
"""How often a server may end before all answered once, until everything is stopped."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds before a server that ended is started again; doubled each time, up to the longest."""

STEADY_SECONDS = 60.0
"""A server that worked for so long is started again after the first pause when it ends."""

_POLL_SECONDS = 0.1
_HEALTH_SECONDS = 0.3

Say = Callable[[str], None]
Note = Callable[[tuple[ServerState, ...]], None]


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
class _Seat:
    """One server's place in the group: its child, if one lives, and what happened to it.

    failures: ends and failed starts since it last worked steadily. starts: successful ones.
    due: when it may be started, on the monotonic clock. begun, since: when its child was started,
    and when that answered.
    """

    server: Server
    log: Path
    child: Child | None = None
    ready: bool = False
    failures: int = 0
    starts: int = 0
    due: float = 0.0
    begun: float = 0.0
    since: float = 0.0

    @property
    def title(self) -> str:
        return self.server.title

    def state(self) -> ServerState:
        """For the file that says what runs."""
        health = self.server.health
        return ServerState(
            self.server.name,
            self.title,
            self.server.address,
            "" if health.fresh_field else health.url,
            str(self.log),
            restarts=max(0, self.starts - 1),
            down=not self.ready and self.failures > 0,
        )

    def pause(self) -> float:
        """Count a failure; the seconds to wait before the next start."""
        if self.ready and time.monotonic() - self.since > STEADY_SECONDS:
            self.failures = 0
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.failures, 16))
        self.failures += 1
        self.ready, self.due = False, time.monotonic() + pause
        return pause


class ServerGroup:
    """Servers that are started, watched and stopped together.

    One with ``restarts`` that ends by itself is started again while the others go on; the end of
    any other is the end of all.

    Parameters
    ----------
    servers: in the order in which they may start.
    logs: folder of their logs.
    keep: a file descriptor that stays open until the last process of every server is gone.
    say: told what happens, a line at a time.
    """

    def __init__(self, servers: tuple[Server, ...], logs: Path, keep: int, say: Say) -> None:
        self._seats = {one.name: _Seat(one, logs / f"{one.name}.log") for one in servers}
        self._logs = logs
        self._keep = keep
        self._say = say
        self._started = False

    def describe(self) -> tuple[ServerState, ...]:
        """What the servers are, for the file that says what runs."""
        return tuple(seat.state() for seat in self._seats.values())

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
        while not all(seat.ready for seat in self._seats.values()):
            self._start_due()
            time.sleep(_HEALTH_SECONDS)
            for seat in self._seats.values():
                if stop:
                    return False
                self._look_at(seat, begun)
                if seat.child and not seat.ready and time.monotonic() - begun > seconds:
                    raise seat.child.failure(f"did not answer within {seconds:.0f} s")
        self._started = True
        return True

    def watch(self, stop: StopRequest, note: Note) -> None:
        """Return when ``stop`` is asked for; ``note`` gets each change of what runs.

        Raises
        ------
        ServerFailureError: a server that is not started again ended by itself.
        """
        known = self.describe()
        while not stop:
            for seat in self._seats.values():
                self._look_at(seat, seat.begun)
            self._start_due()
            if self.describe() != known:
                known = self.describe()
                with suppress(OSError):
                    note(known)
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop every server, those that need others first; who does not obey is killed."""
        children = [seat.child for seat in self._seats.values() if seat.child is not None]
        stop_children(child for child in children if child.server.after)
        stop_children(child for child in children if not child.server.after)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_due(self) -> None:
        for seat in self._seats.values():
            needed = (self._seats[name] for name in seat.server.after if name in self._seats)
            if seat.child is not None or time.monotonic() < seat.due:
                continue
            if all(other.ready for other in needed):
                self._start(seat)

    def _start(self, seat: _Seat) -> None:
        self._say(f"{seat.title}: starting{' again' if seat.failures else ''}, log {seat.log}")
        try:
            seat.child = start_child(seat.server, seat.log, self._keep)
        except (OSError, SgpsError) as error:
            if not self._started:
                raise
            self._say(f"{seat.title}: cannot be started: {error}; {self._again(seat)}")
            return
        seat.begun = time.monotonic()
        seat.starts += 1

    def _look_at(self, seat: _Seat, begun: float) -> None:
        """Notice that a server ended, or that it answers now; ``begun``: when waiting began."""
        child = seat.child
        if child is None:
            return
        ending = child.ending()
        if ending:
            self._take_leave(seat, child.failure(f"ended by itself ({ending})"))
        elif not seat.ready and seat.server.health.answers(child.started) and self._complete(seat):
            seat.ready, seat.since = True, time.monotonic()
            again = "again " if seat.failures else ""
            self._say(f"{seat.title}: works {again}after {seat.since - begun:.1f} s")

    def _take_leave(self, seat: _Seat, failure: ServerFailureError) -> None:
        given_up = not self._started and seat.failures + 1 >= TRIES_AT_START
        if not seat.server.restarts or given_up:
            raise failure
        if seat.child is not None:
            seat.child.let_go()
        seat.child = None
        self._say(f"{failure}; {self._again(seat)}")

    def _complete(self, seat: _Seat) -> bool:
        """Do what is left to do once a server answers; where that fails later on, it is stopped."""
        try:
            if seat.server.complete is not None:
                seat.server.complete()
        except (OSError, SgpsError) as error:
            if not self._started or seat.child is None:
                raise
            self._say(f"{seat.title}: {error}")
            seat.child.let_go()
            return False
        return True

    def _again(self, seat: _Seat) -> str:
        return f"it is started again in {seat.pause():.0f} s"
