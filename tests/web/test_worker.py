"""What the worker does on its own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sending import request_for, services
from starlette.testclient import TestClient

from sgps.audit import RequestState
from sgps.web.memory import return_freed_memory

OpenClient = Callable[..., TestClient]


def test_what_waited_is_finished_at_the_start(open_client: OpenClient, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    broken = open_client(tracking_uri=f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")
    answer = broken.post("/api/requests", json=request_for(broken, "Waits"))
    assert answer.json()["state"] == "pending"
    request_id = answer.json()["request_id"]
    with open_client() as started:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if services(started).worker.status(request_id).state is RequestState.DONE:
                break
            time.sleep(0.1)
        assert started.get(f"/api/requests/{request_id}").json()["receipt"]["version"] == "1"
        assert started.get("/api/health").json() == {"status": "ok", "generator": "loaded"}


def test_asking_twice_works_once(client: TestClient) -> None:
    worker = services(client).worker
    answer = client.post("/api/requests", json=request_for(client, "Once")).json()
    first = worker.enqueue(answer["request_id"])
    assert first.result(timeout=60).state is RequestState.DONE
    assert worker.enqueue(answer["request_id"]).result(timeout=60) == first.result()
    assert worker.steps(answer["request_id"]).count("register_model") == 1


def test_steps_of_a_new_try_replace_those_of_the_one_before(
    open_client: OpenClient, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    broken = open_client(tracking_uri=f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")
    answer = broken.post("/api/requests", json=request_for(broken, "Steps")).json()
    worker = services(broken).worker
    for _ in range(3):
        worker.enqueue(answer["request_id"]).result(timeout=60)
    assert worker.steps(answer["request_id"]) == ["claim_request", "check_stores"]


def test_a_cold_start_is_a_step_of_its_own(client: TestClient) -> None:
    worker = services(client).worker
    fields = request_for(client, "Cold")
    warm, worker._synthesizer = worker._synthesizer, None
    load = worker._warm_synthesizer
    worker._warm_synthesizer = lambda: warm or load()  # type: ignore[method-assign]
    answer = client.post("/api/requests", json=fields).json()
    assert answer["steps"][:2] == ["get_ready", "claim_request"]


@pytest.mark.skipif(sys.platform != "linux", reason="glibc gives memory back on Linux")
def test_freed_memory_is_given_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    blocks = [bytes(4_000) for _ in range(20_000)]
    last = bytes(4_000)  # keeps the top of the heap, so that free alone gives nothing back
    full = resident()
    blocks.clear()
    return_freed_memory()
    assert full - resident() > 40_000_000
    assert len(last) == 4_000
