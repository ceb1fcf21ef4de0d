"""The parent of one server: it stops the server, and all that came of it, when `sgps up` is gone.

Run as a script: ``python -I -S _guard.py GRACE LIFELINE [KEEP] -- COMMAND...``. LIFELINE is the
reading end of a pipe whose writing end only `sgps up` holds, so that the system closes it however
`sgps up` ends. KEEP is a file descriptor that stays open until the last process of the server is
gone. Only the standard library is used, to start within milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LAST_SECONDS = 1.0
_NOT_FOUND = 127
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(arguments: list[str]) -> int:
    """Run the command until it ends or is to be stopped.

    Returns
    -------
    Its exit code; 128 and the number of the signal that ended it.
    """
    split = arguments.index("--")
    grace, lifeline = float(arguments[0]), int(arguments[1])
    for descriptor in map(int, arguments[1:split]):
        os.set_inheritable(descriptor, False)
    _process_control(_PR_SET_CHILD_SUBREAPER, 1)
    wakes, alarm = os.pipe()
    os.set_blocking(alarm, False)
    signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    for number in (*_STOPPING, signal.SIGCHLD):
        signal.signal(number, _wake_only)
    family = _Family(_start(arguments[split + 1 :]))
    while family.code is None:
        ready, _, _ = select.select([lifeline, wakes], [], [], 1.0)
        caught = os.read(wakes, 512) if wakes in ready else b""
        family.reap()
        if lifeline in ready or any(number in caught for number in _STOPPING):
            family.end_leader(grace)
            break
    family.end_rest()
    return family.code if family.code is not None else 128 + signal.SIGKILL


class _Family:
    """The server, its process group and whatever else descends from it."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self.code: int | None = None

    def reap(self) -> None:
        """Take leave of every descendant that ended."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._leader:
                    code = os.waitstatus_to_exitcode(status)
                    self.code = code if code >= 0 else 128 - code

    def end_leader(self, grace: float) -> None:
        """Ask the server to stop, and wait up to ``grace`` seconds until it did."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGTERM)
        until = time.monotonic() + grace
        while self.code is None and time.monotonic() < until:
            time.sleep(0.02)
            self.reap()

    def end_rest(self) -> None:
        """Stop what is left: first with SIGTERM, then with SIGKILL."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            until = time.monotonic() + _LAST_SECONDS
            self._send(number)
            while self._lives() and time.monotonic() < until:
                time.sleep(0.02)
                self.reap()
            if not self._lives():
                return

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leader, number)
        for pid in _descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _lives(self) -> bool:
        self.reap()
        if _descendants(os.getpid()):
            return True
        try:
            os.killpg(self._leader, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _start(command: list[str]) -> int:
    guard = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.set_wakeup_fd(-1)
        for number in (*_STOPPING, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        _process_control(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == guard:
            os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(_NOT_FOUND)


def _process_control(option: int, value: int) -> None:
    """Linux's prctl; other systems do without."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _descendants(pid: int) -> list[int]:
    """Every living process below ``pid``, on Linux; nothing elsewhere."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, children.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _wake_only(_number: int, _frame: object) -> None:
    """A handler that lets the call in progress return."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
