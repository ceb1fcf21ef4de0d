"""Servers that end by themselves, and are started again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from running_servers import (
    end_by_itself,
    free_port,
    is_gone,
    pid_in,
    starts_in,
    wait_for,
    web_server,
    work_beside,
)

from sgps.errors import OperatorError
from sgps.service._supervision import _Seat
from sgps.service.processes import (
    ServerFailureError,
    find_running,
    probe,
    run_system,
)


def test_a_server_that_ends_is_started_again_and_the_others_live_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sgps.service._supervision.FIRST_PAUSE", 1.0)
    port, page_port = free_port(), free_port()
    steps: list[str] = []
    said: list[str] = []
    seen: list[dict[str, bool]] = []
    mlflow = web_server(
        tmp_path, port, name="mlflow", title="MLflow", restarts=True,
        prepare=lambda: steps.append("prepare"), complete=lambda: steps.append("complete"),
    )  # fmt: skip
    page = web_server(tmp_path, page_port, name="page", title="Page", after=("mlflow",))

    def look(*, down: bool, restarts: int) -> bool:
        state = find_running(tmp_path)
        if state is None or (state.servers[0].down, state.servers[0].restarts) != (down, restarts):
            return False
        seen.append(probe(state))
        return True

    def end_mlflow_twice() -> None:
        for number in (0, 1):
            end_by_itself(port)
            wait_for(lambda at=number: look(down=True, restarts=at), "its end is noticed")
            wait_for(lambda at=number: look(down=False, restarts=at + 1), "it comes back")

    with (
        work_beside(end_mlflow_twice, page_port) as begin,
        pytest.raises(ServerFailureError, match=r"Page ended by itself \(exit code 7\)"),
    ):
        run_system((mlflow, page), tmp_path, say=said.append, started=begin)
    assert seen == [{"mlflow": works, "page": True} for works in (False, True, False, True)]
    assert steps == ["prepare", "complete"] * 3
    assert len(set(starts_in(tmp_path / "logs" / "mlflow.log"))) == 3
    assert len(starts_in(tmp_path / "logs" / "page.log")) == 1
    told = "\n".join(said)
    assert "MLflow ended by itself (exit code 7); see" in told
    assert told.index("is started again in 1 s") < told.index("is started again in 2 s")
    assert told.count("MLflow: works again after") == 2


def test_a_server_whose_restart_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sgps.service._supervision.FIRST_PAUSE", 0.05)
    port, page_port = free_port(), free_port()
    said: list[str] = []

    def failing_in_turn(*faults: Exception | None) -> Callable[[], None]:
        left = iter(faults)

        def step() -> None:
            fault = next(left)
            if fault is not None:
                raise fault

        return step

    web = web_server(
        tmp_path, port, restarts=True,
        prepare=failing_in_turn(None, OSError(28, "No space left"), None, None),
        complete=failing_in_turn(None, OperatorError("no accounts"), None),
    )  # fmt: skip
    page = web_server(tmp_path, page_port, name="page", title="Page")

    def end_web() -> None:
        end_by_itself(port)
        wait_for(lambda: "Web: works again" in "\n".join(said), "it works in the end")

    with (
        work_beside(end_web, page_port) as begin,
        pytest.raises(ServerFailureError, match="Page ended by itself"),
    ):
        run_system((page, web), tmp_path, say=said.append, started=begin)
    told = "\n".join(said)
    assert "Web: cannot be started: [Errno 28] No space left; it is started again" in told
    assert "Web: no accounts" in told
    assert len(starts_in(tmp_path / "logs" / "web.log")) == 3


def test_a_server_that_ends_again_and_again_at_the_start_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sgps.service._supervision.FIRST_PAUSE", 0.05)
    said: list[str] = []
    command = (sys.executable, "-I", "-S", "-c", "print('no'); raise SystemExit(3)")
    other = web_server(tmp_path, free_port(), name="other", title="Other")
    broken = web_server(tmp_path, free_port(), command=command, restarts=True)
    with pytest.raises(ServerFailureError, match=r"Web ended by itself \(exit code 3\)") as caught:
        run_system((other, broken), tmp_path, say=said.append, started=print)
    assert caught.value.tail == "no"
    assert sum("starting" in line for line in said if line.startswith("Web")) == 3
    assert is_gone(pid_in(tmp_path / "logs" / "other.log"))
    assert find_running(tmp_path) is None


def test_a_server_that_ends_again_and_again_is_started_more_and_more_rarely(
    tmp_path: Path,
) -> None:
    seat = _Seat(web_server(tmp_path, 1), tmp_path / "web.log")
    assert [seat.pause() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    seat.failures = 5_000
    assert seat.pause() == 30
    seat.ready, seat.since = True, time.monotonic() - 61
    assert seat.pause() == 1
