"""When the worker reconciles."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sending import request_for, services
from starlette.testclient import TestClient

from sgps.audit import RequestState
from sgps.settings import Settings
from sgps.web.worker import Worker

OpenClient = Callable[..., TestClient]


def test_what_a_killed_process_worked_on_is_taken_up_when_its_lease_ends(
    open_client: OpenClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease outlives the first reconciliation; the next but one would be a minute later."""
    (tmp_path / "file").touch()
    broken = open_client(tracking_uri=f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")
    request_id = broken.post("/api/requests", json=request_for(broken, "Killed")).json()[
        "request_id"
    ]
    outbox = services(broken).worker.workspace.ledger.outbox
    monkeypatch.setattr("sgps.web.worker.LEASE_SECONDS", 1.0)
    assert outbox.claim(request_id, 1.5) is not None
    with open_client() as started:
        worker = services(started).worker
        deadline = time.monotonic() + 50
        while worker.status(request_id).state is not RequestState.DONE:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_pause_ends_with_the_leases_of_before(client: TestClient) -> None:
    worker = services(client).worker
    worker._free_again = time.monotonic() + 20
    assert 19 < worker._pause(time.monotonic()) <= 20
    worker._free_again = time.monotonic() + 200
    assert worker._pause(time.monotonic()) == worker._seconds_between
    worker._free_again = time.monotonic() - 1
    assert worker._pause(time.monotonic() - 5) == 0
    assert worker._pause(time.monotonic()) == worker._seconds_between


def test_old_pictures_go_though_the_generator_cannot_be_loaded(settings: Settings) -> None:
    faulty = Settings(**{**settings.model_dump(), "generator": "nosuch"})
    swept = threading.Event()
    worker = Worker(faulty, chores=swept.set)
    worker.start()
    try:
        assert swept.wait(20)
        assert not worker.is_warm
    finally:
        worker.stop()
