"""The whole system on one machine: started, looked at and stopped as one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sgps.errors import InputError, OperatorError
from sgps.service._children import GUARD_SECONDS, ServerFailureError, open_log
from sgps.service._run_state import RunFolder, RunLock, ServerState, SystemState
from sgps.service._servers import Health, Server, require_free_ports
from sgps.service._settings_prints import changed_settings, print_settings
from sgps.service._supervision import Say, ServerGroup, stop_signals
from sgps.service._system import SystemPlan
from sgps.settings import Settings, make_private_folder

__all__ = [
    "DetachedFailure",
    "Server",
    "ServerFailureError",
    "ServerState",
    "SystemState",
    "find_running",
    "plan_system",
    "probe",
    "require_same_settings",
    "run_system",
    "start_detached",
    "stop_system",
]

_POLL_SECONDS = 0.2
_BETWEEN_SYSTEMS = 2 * GUARD_SECONDS + 5.0


@dataclass(frozen=True)
class DetachedFailure:
    """`sgps up` ended before every server answered: its exit code and what it wrote."""

    code: int
    output: str


def plan_system(
    settings: Settings, environment: Mapping[str, str], folder: Path, *, prefect: bool = True
) -> tuple[tuple[Server, ...], tuple[str, ...]]:
    """What to start for an installation, and remarks on it for the person who starts it.

    Parameters
    ----------
    environment: of this process, which the servers inherit.
    folder: working folder of the page and of the runner.
    prefect: whether Prefect and its runner are wanted.

    Raises
    ------
    InputError: the settings do not fit together.
    """
    plan = SystemPlan(settings, environment, folder, prefect=prefect)
    return plan.servers(), plan.remarks


def run_system(
    servers: tuple[Server, ...],
    home: Path,
    *,
    say: Say,
    started: Callable[[SystemState], None],
    seconds: float = 180.0,
    settings: Settings | None = None,
) -> SystemState | None:
    """Start the servers, call ``started`` once all answer, and stay until told to stop.

    SIGTERM, SIGINT and SIGHUP stop every server and let this return; so does any error. A server
    with ``restarts`` that ends by itself is started again, with pauses of 1, 2, 4 to 30 seconds.
    A later start is told in which ``settings`` it differs (:func:`require_same_settings`).

    Returns
    -------
    The state of the system that runs in ``home`` already; None if this call ran one.

    Raises
    ------
    InputError: a port is in use; nothing was started.
    ServerFailureError: a server ended that is not started again, one ended three times before all
        answered, or one did not answer within ``seconds``.
    StoreError: ``home`` cannot be written.
    """
    folder = RunFolder(home)
    lock = _acquire(folder, seconds)
    if isinstance(lock, SystemState):
        return lock
    with lock, stop_signals() as stop:
        require_free_ports(servers)
        if settings is not None:
            lock.write_settings(print_settings(settings))
        with ServerGroup(servers, home / "logs", lock.descriptor, say) as group:
            lock.write(group.describe(), ready=False)
            if group.start(seconds, stop):
                lock.write(group.describe(), ready=True)
                state = folder.read()
                if state is not None:
                    started(state)
                group.watch(stop, partial(lock.write, ready=True))
            say("stopping")
    say("stopped")
    return None


def start_detached(command: Sequence[str], home: Path) -> SystemState | DetachedFailure:
    """Run ``command``, which calls :func:`run_system`, apart from this terminal until it is ready.

    Raises
    ------
    StoreError: ``home`` cannot be written.
    """
    folder = RunFolder(home)
    log = home / "logs" / "up.log"
    make_private_folder(log.parent)
    with open_log(log) as written:
        position = written.tell()
        pid = _spawn(command, written.fileno())
    try:
        while True:
            state = folder.read()
            if state is not None and state.ready:
                return state
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with log.open("rb") as file:
                    file.seek(position)
                    output = file.read().decode("utf-8", "replace").rstrip()
                return DetachedFailure(os.waitstatus_to_exitcode(status), output)
            time.sleep(_POLL_SECONDS)
    except BaseException:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        raise


def _spawn(command: Sequence[str], output: int) -> int:
    """Start a process without a terminal that may outlive this one."""
    return os.posix_spawn(
        command[0],
        list(command),
        os.environ,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ],
    )


def find_running(home: Path) -> SystemState | None:
    """The system that runs in ``home``, if one does; nothing is written."""
    return RunFolder(home).read()


def require_same_settings(state: SystemState, settings: Settings) -> None:
    """See that a running system has these settings.

    Raises
    ------
    InputError: it was started with others.
    """
    changed = changed_settings(state.settings, settings)
    if changed:
        raise InputError(
            f"a system with other settings runs as process {state.pid}: {', '.join(changed)}",
            expected="the settings that it was started with",
            remedy="stop it with 'sgps down' and start it again, or set them back",
        )


def probe(state: SystemState) -> dict[str, bool]:
    """Whether each server answers now, by name; one that is being started again does not."""
    return {
        server.name: not server.down and Health(server.health).answers() for server in state.servers
    }


def stop_system(home: Path) -> bool:
    """Stop the system that runs in ``home``; one that does not obey is killed.

    Returns
    -------
    Whether one ran.

    Raises
    ------
    OperatorError: it still runs.
    """
    folder = RunFolder(home)
    state = folder.read()
    if state is None:
        return not folder.wait_until_free(0) and folder.wait_until_free(_BETWEEN_SYSTEMS)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if state.is_alive:
            with suppress(ProcessLookupError):
                os.kill(state.pid, number)
        if folder.wait_until_free(_BETWEEN_SYSTEMS):
            return True
    raise OperatorError(f"process {state.pid} and its servers cannot be stopped")


def _acquire(folder: RunFolder, seconds: float) -> RunLock | SystemState:
    """The lock, or the ready system of the process that holds it.

    A holder that is gone leaves the lock to its guards, which are stopping its servers.
    """
    until = time.monotonic() + max(seconds, _BETWEEN_SYSTEMS)
    while time.monotonic() < until:
        lock = folder.acquire()
        if lock is not None:
            return lock
        state = folder.read()
        if state is not None and state.ready:
            return state
        time.sleep(_POLL_SECONDS)
    raise OperatorError(
        f"another start of the system holds {folder.path} and does not become ready; "
        "stop it with: sgps down"
    )
