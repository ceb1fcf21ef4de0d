"""The first use of a home, cut off: nothing half-made stays, and the next use succeeds."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from test_disk_full import KIB, no_file_beyond
from whole_stores import assert_whole

from sgps.audit import RequestState
from sgps.errors import StoreError
from sgps.registry._tables import Condition, find_condition
from sgps.service.exactly_once import synthesize_once
from sgps.service.requests import SynthesisRequest
from sgps.service.workspace import open_workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer

SCRATCH_SIZES = (0, 500 * KIB)


@pytest.fixture
def request_of_folder(task_folder: Path) -> SynthesisRequest:
    return SynthesisRequest.from_folder(task_folder, "Dr. Ada", "a study")


@pytest.fixture
def empty_home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "empty")


def _synthesize(settings: Settings, request: SynthesisRequest, generator: Synthesizer) -> None:
    torch.set_num_threads(1)
    with open_workspace(settings) as workspace:
        synthesize_once(request, workspace, generator)


def _size_of(file: Path) -> int:
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0


def test_kills_while_the_tables_are_made(
    empty_home: Settings, request_of_folder: SynthesisRequest, generator: Synthesizer
) -> None:
    store = empty_home.home_folder / "mlflow" / "mlflow.db"
    scratch = store.with_name("mlflow.db.making")
    for size in SCRATCH_SIZES:
        with suppress(FileNotFoundError):
            scratch.unlink()
        child = get_context("fork").Process(
            target=_synthesize, args=(empty_home, request_of_folder, generator)
        )
        child.start()
        while child.is_alive() and _size_of(scratch) <= size:
            time.sleep(0.001)
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        assert child.exitcode == -signal.SIGKILL
        assert find_condition(store) is Condition.TO_MAKE
        with open_workspace(empty_home) as workspace:
            [row] = workspace.ledger.outbox.recent()
            workspace.ledger.outbox.release(row.request_id, "killed")
    with open_workspace(empty_home) as workspace:
        synthesize_once(request_of_folder, workspace, generator)
        assert_whole(workspace)
    assert find_condition(store) is Condition.CURRENT
    assert not scratch.exists()


def test_a_disk_that_is_full_while_the_tables_are_made(
    empty_home: Settings, request_of_folder: SynthesisRequest, generator: Synthesizer
) -> None:
    store = empty_home.home_folder / "mlflow" / "mlflow.db"
    with open_workspace(empty_home) as workspace:
        for size in (300 * KIB, 700 * KIB):
            with (
                no_file_beyond(size),
                pytest.raises(StoreError, match="is accepted but not done"),
            ):
                synthesize_once(request_of_folder, workspace, generator)
            [row] = workspace.ledger.outbox.waiting()
            assert row.state is RequestState.ACCEPTED
            assert find_condition(store) is Condition.TO_MAKE
            assert [path.name for path in store.parent.glob("*making*")] == []
        synthesize_once(request_of_folder, workspace, generator)
        assert_whole(workspace)
