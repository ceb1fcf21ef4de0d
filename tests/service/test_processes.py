"""The system as a whole: real servers as children, started, watched and stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from running_servers import (
    SECONDS,
    STUBBORN,
    WEB,
    end_by_itself,
    free_port,
    is_gone,
    pid_in,
    wait_for,
    web_server,
)

from sgps.errors import InputError, OperatorError
from sgps.service._children import open_log
from sgps.service._servers import Health
from sgps.service.processes import (
    ServerFailureError,
    SystemState,
    find_running,
    probe,
    run_system,
    start_detached,
    stop_system,
)

DRIVER = """\
import sys
from pathlib import Path
from sgps.service import _children
from sgps.service._servers import Health, Port
from sgps.service.processes import Server, run_system
_children.GRACE_SECONDS = float(sys.argv[3])
folder, port = Path(sys.argv[1]), int(sys.argv[2])
python = (sys.executable, "-I", "-S", "-c")
servers = [Server("web", "Web", (*python, sys.argv[4], str(port)), {}, folder / "web",
    health=Health(f"http://127.0.0.1:{port}/"), port=Port("127.0.0.1", port, "WEB_PORT"))]
if sys.argv[5:]:
    servers.append(Server("other", "Other", (*python, sys.argv[5]), {}, folder, after=("web",)))
run_system(tuple(servers), folder, say=print, seconds=30.0,
    started=lambda state: print("READY", flush=True))
"""


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a system in a process of its own; whatever is left of it is killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def start(port: int, *other: str, grace: float = 5.0) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(tmp_path), str(port), str(grace), WEB, *other],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "READY\n":
            return "".join(lines)
    raise AssertionError("".join(lines))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything(
    tmp_path: Path, drive: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = drive(free_port())
    assert "Web: works after" in wait_ready(process)
    state = find_running(tmp_path)
    assert state is not None
    assert state.ready
    assert probe(state) == {"web": True}
    process.send_signal(number)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output
    assert output.endswith("stopping\nstopped\n")
    assert is_gone(pid_in(tmp_path / "logs" / "web.log"))
    assert find_running(tmp_path) is None
    assert not stop_system(tmp_path)


def test_what_does_not_obey_is_killed_with_all_it_started(
    tmp_path: Path, drive: Callable[..., subprocess.Popen[str]]
) -> None:
    process = drive(free_port(), STUBBORN, grace=0.5)
    wait_ready(process)
    log = tmp_path / "logs" / "other.log"
    wait_for(lambda: log.read_text() != "", "the server starts its own child")
    grandchild = pid_in(log)
    process.terminate()
    process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "no" in log.read_text()
    assert is_gone(grandchild)


def test_servers_end_with_a_killed_parent(
    tmp_path: Path, drive: Callable[..., subprocess.Popen[str]]
) -> None:
    port = free_port()
    process = drive(port, STUBBORN, grace=0.5)
    wait_ready(process)
    log = tmp_path / "logs" / "other.log"
    wait_for(lambda: log.read_text() != "", "the server starts its own child")
    pids = [pid_in(tmp_path / "logs" / "web.log"), pid_in(log)]
    process.kill()
    process.wait()
    assert find_running(tmp_path) is None
    again = drive(port)
    wait_ready(again)
    wait_for(lambda: all(map(is_gone, pids)), "what the killed start left ends")


def test_the_end_of_one_server_is_told_and_ends_the_rest(tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    second = web_server(tmp_path, other, name="second", title="Second", after=("web",))

    def end_first(_state: SystemState) -> None:
        end_by_itself(port)

    servers = (web_server(tmp_path, port, secrets=("s3cret",)), second)
    with pytest.raises(ServerFailureError, match=r"Web ended by itself \(exit code 7\)") as caught:
        run_system(servers, tmp_path, say=print, started=end_first)
    assert caught.value.exit_code == 1
    assert "out of ink: ***" in caught.value.tail
    assert is_gone(pid_in(tmp_path / "logs" / "second.log"))
    assert find_running(tmp_path) is None


def test_a_server_that_cannot_start_is_told(tmp_path: Path) -> None:
    server = web_server(tmp_path, free_port(), command=("/nosuch/program",))
    with pytest.raises(ServerFailureError, match="exit code 127") as caught:
        run_system((server,), tmp_path, say=print, started=print)
    assert "/nosuch/program: No such file" in caught.value.tail


def test_a_server_that_does_not_answer_is_told_and_stopped(tmp_path: Path) -> None:
    port = free_port()
    server = web_server(tmp_path, port, health=Health(f"http://127.0.0.1:{free_port()}/"))
    with pytest.raises(ServerFailureError, match="did not answer within 1 s") as caught:
        run_system((server,), tmp_path, say=print, started=print, seconds=1.0)
    assert "started as" in caught.value.tail
    assert is_gone(pid_in(tmp_path / "logs" / "web.log"))


def test_a_second_start_finds_the_first(
    tmp_path: Path, drive: Callable[..., subprocess.Popen[str]]
) -> None:
    port = free_port()
    process = drive(port)
    said: list[str] = []
    wait_for(lambda: find_running(tmp_path) is not None, "the first start writes its state")
    found = run_system((web_server(tmp_path, port),), tmp_path, say=said.append, started=print)
    assert found is not None
    assert (found.pid, found.ready) == (process.pid, True)
    assert [server.name for server in found.servers] == ["web"]
    assert said == []
    assert stop_system(tmp_path)
    assert process.wait(SECONDS) == 0


def test_a_port_taken_by_a_stranger_is_named(tmp_path: Path) -> None:
    with closing(socket.socket()) as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        first = web_server(tmp_path, free_port(), name="first")
        with pytest.raises(InputError) as caught:
            run_system((first, web_server(tmp_path, port)), tmp_path, say=print, started=print)
    text = str(caught.value)
    assert caught.value.exit_code == 2
    assert f"port {port} of 127.0.0.1 is in use" in text
    assert "expected a free port for Web" in text
    assert "set WEB_PORT to another port" in text
    assert not (tmp_path / "logs").exists()
    assert find_running(tmp_path) is None


def test_one_port_for_two_servers_is_refused(tmp_path: Path) -> None:
    port = free_port()
    servers = (web_server(tmp_path, port), web_server(tmp_path, port, name="second"))
    with pytest.raises(InputError, match=f"are both {port}"):
        run_system(servers, tmp_path, say=print, started=print)


def test_a_detached_start_returns_when_all_answer(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", DRIVER, str(tmp_path), str(port), "5", WEB]
    state = start_detached(command, tmp_path)
    assert isinstance(state, SystemState)
    assert state.ready
    assert os.getsid(state.pid) == state.pid
    assert stop_system(tmp_path)
    assert find_running(tmp_path) is None


def test_a_detached_start_that_fails_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no disk'); sys.exit(2)"]
    failure = start_detached(command, tmp_path)
    assert not isinstance(failure, SystemState)
    assert (failure.code, failure.output) == (2, "no disk")


def test_a_system_that_ignores_sigterm_is_killed(
    tmp_path: Path, drive: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sgps.service.processes._BETWEEN_SYSTEMS", 2.0)
    process = drive(free_port(), grace=0.5)
    wait_ready(process)
    process.send_signal(signal.SIGSTOP)
    assert stop_system(tmp_path)
    assert process.wait(SECONDS) == -signal.SIGKILL
    assert is_gone(pid_in(tmp_path / "logs" / "web.log"))


def test_a_state_of_a_process_long_gone_means_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    content = {"pid": os.getpid(), "pid_start": "1", "ready": True, "servers": []}
    (run / "up.json").write_text(json.dumps(content))
    assert find_running(tmp_path) is None
    (run / "up.json").write_text("{broken")
    assert find_running(tmp_path) is None
    assert not stop_system(tmp_path)


def test_a_holder_that_never_gets_ready_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sgps.service._run_state import RunFolder

    monkeypatch.setattr("sgps.service.processes._BETWEEN_SYSTEMS", 0.3)
    lock = RunFolder(tmp_path).acquire()
    assert lock is not None
    with lock, pytest.raises(OperatorError, match="sgps down"):
        run_system((), tmp_path, say=print, started=print, seconds=0.1)


def test_a_long_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sgps.service._children._LOG_BYTES", 10)
    log = tmp_path / "a.log"
    for number in range(6):
        with open_log(log) as file:
            file.write(f"{number}".encode() * 11)
    assert log.read_text() == "5" * 11
    assert [(tmp_path / f"a.log.{number}").read_text()[0] for number in (1, 2, 3)] == list("432")
    assert not (tmp_path / "a.log.4").exists()
    assert log.stat().st_mode & 0o777 == 0o600


def test_health_can_ask_for_a_fresh_time(tmp_path: Path) -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    health = Health("http://127.0.0.1/", fresh_field="polled")
    later = json.dumps({"polled": (now + timedelta(seconds=1)).isoformat()}).encode()
    earlier = json.dumps({"polled": (now - timedelta(seconds=1)).isoformat()}).encode()
    assert health._is_fresh(later, now)
    assert not health._is_fresh(earlier, now)
    assert not health._is_fresh(b'{"polled": null}', now)
    assert not health._is_fresh(b"not json", now)
