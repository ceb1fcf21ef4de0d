"""Files that cannot grow any further, as on a full disk: nothing half-made is left."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from whole_stores import assert_whole

from sgps.audit import RequestState
from sgps.errors import StoreError
from sgps.service._spool import Spool
from sgps.service.exactly_once import submit, synthesize_once
from sgps.service.reconcile import reconcile
from sgps.service.requests import SynthesisRequest
from sgps.service.workspace import Workspace
from sgps.synthesizer import Synthesizer

KIB = 1024
BELOW_AN_IMAGE = 2 * KIB
BELOW_THE_WEIGHTS = 4 * KIB * KIB


@pytest.fixture
def request_of_folder(task_folder: Path) -> SynthesisRequest:
    return SynthesisRequest.from_folder(task_folder, "Dr. Ada", "a study")


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The system refuses to let any file of this process grow beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_images_that_cannot_be_kept_are_not_accepted(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    spool = Spool(workspace.settings.home_folder)
    with (
        no_file_beyond(BELOW_AN_IMAGE),
        pytest.raises(StoreError, match=r"spool: File too large.*free some space"),
    ):
        submit(request_of_folder, workspace, generator)
    assert spool.request_ids() == []
    assert workspace.ledger.outbox.recent() == []
    assert_whole(workspace, 0)
    synthesize_once(request_of_folder, workspace, generator)
    assert_whole(workspace)


def test_weights_that_cannot_be_kept_are_made_again_later(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    with (
        no_file_beyond(BELOW_THE_WEIGHTS),
        pytest.raises(StoreError, match="is accepted but not done"),
    ):
        synthesize_once(request_of_folder, workspace, generator)
    [row] = workspace.ledger.outbox.waiting()
    assert row.state is RequestState.ACCEPTED
    assert workspace.registry.search() == []
    report = reconcile(workspace, generator)
    assert len(report.finished) == 1
    assert_whole(workspace)


@pytest.mark.parametrize("size", [16 * KIB, 256 * KIB, 16 * KIB * KIB])
def test_wherever_it_ends_one_whole_version_comes_of_it(
    size: int, request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    with no_file_beyond(size), suppress(StoreError):
        synthesize_once(request_of_folder, workspace, generator)
    reconcile(workspace, generator)
    synthesize_once(request_of_folder, workspace, generator)
    assert_whole(workspace)
