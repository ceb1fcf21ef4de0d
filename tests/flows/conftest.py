"""A Prefect server for all flow tests, without heartbeats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import flows  # noqa: F401  (sets the environment before prefect is imported)


@pytest.fixture(scope="session")
def _prefect_server() -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def prefect_server(_prefect_server: None) -> Iterator[None]:
    """A session of flow runs on the test server."""
    from flows.running import local_session

    with local_session():
        yield


@pytest.fixture
def home(used_home: Path, untrained_generator: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An SGPS home of this test alone; the generator in use is untrained."""
    monkeypatch.setenv("SGPS_GENERATOR", str(untrained_generator))
    return used_home
