"""Which system runs in a home: a lock that dies with its holder, and a file that says what runs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from sgps.errors import StoreError
from sgps.files import write_whole
from sgps.settings import require_writable

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class ServerState:
    """One server of a running system; ``address`` is empty where there is none to open.

    restarts: how often it was started again. down: it ended by itself, and does not work again yet.
    """

    name: str
    title: str
    address: str
    health: str
    log: str
    restarts: int = 0
    down: bool = False


@dataclass(frozen=True)
class SystemState:
    """What `sgps up` wrote about itself.

    ready: every server answered. settings: prints of those it was started with.
    """

    pid: int
    pid_start: str
    ready: bool
    servers: tuple[ServerState, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_alive(self) -> bool:
        """Whether the process that wrote it still lives."""
        return process_start(self.pid) == self.pid_start


class RunFolder:
    """``SGPS_HOME/run``: the lock and the state of the one system of this home."""

    def __init__(self, home: Path) -> None:
        self.path = home / "run"
        self._lock = self.path / "up.lock"
        self._state = self.path / "up.json"

    def acquire(self) -> RunLock | None:
        """The lock of this home, or None while somebody holds it.

        Raises
        ------
        StoreError: the folder cannot be written.
        """
        require_writable(self.path)
        self.path.chmod(0o700)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise StoreError(
                f"{self._lock} cannot be locked: {error.strerror}",
                expected="a file system with file locks",
                remedy="set SGPS_HOME to a folder on a local disk",
            ) from error
        return RunLock(descriptor, self._state)

    def wait_until_free(self, seconds: float) -> bool:
        """Whether nobody holds the lock within ``seconds``."""
        until = time.monotonic() + seconds
        while True:
            lock = self.acquire()
            if lock is not None:
                lock.close()
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_SECONDS)

    def read(self) -> SystemState | None:
        """The state of the system that lives in this home; None without one."""
        try:
            content = json.loads(self._state.read_text(encoding="utf-8"))
            servers = tuple(ServerState(**server) for server in content.pop("servers"))
            state = SystemState(**content, servers=servers)
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return state if state.is_alive else None


class RunLock:
    """The held lock: the system of this home is the one of this process."""

    def __init__(self, descriptor: int, state: Path) -> None:
        self.descriptor = descriptor
        self._path = state
        self._state = SystemState(os.getpid(), process_start(os.getpid()), False, ())
        state.unlink(missing_ok=True)

    def write(self, servers: tuple[ServerState, ...], *, ready: bool) -> None:
        """Say what runs."""
        self._write(replace(self._state, servers=servers, ready=ready))

    def write_settings(self, prints: Mapping[str, str]) -> None:
        """Say with what settings it runs."""
        self._write(replace(self._state, settings=dict(prints)))

    def _write(self, state: SystemState) -> None:
        self._state = state
        write_whole(self._path, json.dumps(asdict(self._state), indent=2), private=True)

    def close(self) -> None:
        """Take the state away and give the lock back, as soon as no guard holds it any more."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def process_start(pid: int) -> str:
    """When a living process began, in a form that tells it from a later one of the same number.

    Empty for a process that is gone; "alive" where the system does not say when it began.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except PermissionError:
            pass
        return "alive"
    return "" if fields[0] == "Z" else fields[19]
