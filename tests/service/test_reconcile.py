"""Whatever ended a process: afterwards the stores agree, and nothing is lost or doubled."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from whole_stores import assert_whole

from sgps.audit import RequestState
from sgps.errors import UnknownNameError
from sgps.service._loading import load_model
from sgps.service._processing import MAX_CRASHES, give_up
from sgps.service._spool import Spool
from sgps.service.exactly_once import (
    finish_request,
    process,
    status,
    submit,
    synthesize_once,
)
from sgps.service.reconcile import reconcile
from sgps.service.requests import SynthesisRequest
from sgps.service.review import repair_labels
from sgps.service.verification import verify_records
from sgps.service.workspace import Workspace, open_workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer

STEPS = (
    "claim_request", "check_stores", "read_request", "load_generator", "synthesize_weights",
    "assemble_record", "register_model", "store_artifacts", "create_version", "record_in_ledger",
    "finish_version", "remove_request", "done",
)  # fmt: skip


@pytest.fixture
def request_of_folder(task_folder: Path) -> SynthesisRequest:
    return SynthesisRequest.from_folder(task_folder, "Dr. Ada", "a study")


def _die_at(settings: Settings, request: SynthesisRequest, generator: Synthesizer,
            step: str) -> None:  # fmt: skip
    torch.set_num_threads(1)

    def die(begun: str) -> None:
        if begun == step:
            os._exit(9)

    with open_workspace(settings) as workspace:
        sent = submit(request, workspace, generator, progress=die)
        process(sent.request_id, workspace, generator, progress=die, lease_seconds=0.2)


@pytest.fixture
def die_at(
    settings: Settings, request_of_folder: SynthesisRequest, generator: Synthesizer
) -> Callable[[str], None]:
    """Send the request from a process of its own, which ends at a step as if it were killed."""

    def run(step: str) -> None:
        context = multiprocessing.get_context("fork")
        child = context.Process(target=_die_at, args=(settings, request_of_folder, generator, step))
        child.start()
        child.join(60)
        assert child.exitcode == 9
        time.sleep(0.25)

    return run


def assert_only_finished_is_found(workspace: Workspace, step: str) -> None:
    """What can be found is recorded and loads; nothing before its request is done."""
    found = workspace.registry.search()
    assert len(found) == (STEPS.index(step) > STEPS.index("finish_version"))
    for version in found:
        assert version.state == "draft"
        load_model(version.model_uri, workspace)
    runs = workspace.registry.request_runs()
    assert len([run for run in runs if run.version and not run.unfinished]) == len(found)
    for run in runs:
        if run.version is not None and run.unfinished:
            for uri in (run.version.model_uri, f"runs:/{run.run_id}/model"):
                with pytest.raises(UnknownNameError, match=r"being made.*sgps reconcile"):
                    load_model(uri, workspace)
    kinds = {finding.kind for finding in verify_records(workspace).findings}
    assert kinds <= ({"wrong state", "altered label"} if step == "finish_version" else set())


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_leaves_one_whole_version(
    step: str,
    die_at: Callable[[str], None],
    settings: Settings,
    request_of_folder: SynthesisRequest,
    generator: Synthesizer,
) -> None:
    die_at(step)
    with open_workspace(settings) as workspace:
        (row,) = workspace.ledger.outbox.recent()
        assert_only_finished_is_found(workspace, step)
        reconcile(workspace, generator)
        assert status(row.request_id, workspace).state is RequestState.DONE
        assert_whole(workspace)
        receipt = synthesize_once(request_of_folder, workspace, generator)
        assert receipt.request_id == row.request_id
        assert_whole(workspace)


@pytest.mark.parametrize("step", ["decode_support", "accept_request"])
def test_a_kill_before_a_request_is_accepted_leaves_nothing(
    step: str, die_at: Callable[[str], None], settings: Settings, generator: Synthesizer
) -> None:
    die_at(step)
    with open_workspace(settings) as workspace:
        reconcile(workspace, generator)
        assert_whole(workspace, 0)


def test_a_version_without_a_recorded_end_is_cured_by_reconciling(
    die_at: Callable[[str], None], settings: Settings, generator: Synthesizer
) -> None:
    die_at("finish_version")
    with open_workspace(settings) as workspace:
        (row,) = workspace.ledger.outbox.recent()
        assert row.state is RequestState.DONE
        report = reconcile(workspace, generator)
        assert report.finished == (f"{row.request_id}: done: models:/skin-marks/1",)
        assert verify_records(workspace).passed
        assert reconcile(workspace, generator).finished == ()
        stored = workspace.registry.client.get_model_version("skin-marks", "1")
        assert "State: **draft**" in stored.description
        assert workspace.registry.client.get_run(stored.run_id).data.tags["state"] == "draft"


def test_a_version_without_a_recorded_end_is_mended_by_the_review(
    die_at: Callable[[str], None], settings: Settings
) -> None:
    die_at("finish_version")
    with open_workspace(settings) as workspace:
        assert repair_labels("models:/skin-marks/1", workspace)
        assert [version.state for version in workspace.registry.search()] == ["draft"]


def test_an_unfinished_version_of_a_failed_request_is_swept(
    die_at: Callable[[str], None], settings: Settings, generator: Synthesizer
) -> None:
    die_at("record_in_ledger")
    with open_workspace(settings) as workspace:
        (row,) = workspace.ledger.outbox.recent()
        with pytest.raises(UnknownNameError, match="not in the ledger"):
            repair_labels("models:/skin-marks/1", workspace)
        give_up(row, "nobody wants it", workspace)
        assert reconcile(workspace, generator).swept == ("models:/skin-marks/1",)
        assert_whole(workspace, 0)


def test_a_version_that_cannot_be_read_now_is_kept(
    die_at: Callable[[str], None], settings: Settings, generator: Synthesizer, tmp_path: Path
) -> None:
    die_at("record_in_ledger")
    with open_workspace(settings) as workspace:
        (row,) = workspace.ledger.outbox.recent()
        (before,) = workspace.registry.request_runs()
        for name in ("audit.json", "classifier.safetensors"):
            (stored,) = settings.artifact_folder.rglob(name)
            aside = stored.rename(tmp_path / name)
            stored.symlink_to(stored)
            sent = process(row.request_id, workspace, generator)
            assert sent.state is RequestState.ACCEPTED
            assert "cannot be used" in sent.error
            assert workspace.registry.request_runs() == [before]
            stored.unlink()
            aside.rename(stored)
        assert process(row.request_id, workspace, generator).state is RequestState.DONE
        (after,) = workspace.registry.request_runs()
        assert after.run_id == before.run_id
        assert_whole(workspace)


def test_a_claim_in_vain_is_told_once(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    sent = submit(request_of_folder, workspace, generator)
    workspace.ledger.outbox.claim(sent.request_id, 0.5)
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sgps.service.exactly_once._POLL_SECONDS", 0.01)
        finish_request(sent.request_id, workspace, generator, progress=told.append)
    assert workspace.ledger.outbox.get(sent.request_id).attempts == 2
    assert told.count("claim_request") == 1
    assert told[-1] == "done"


def test_with_nothing_to_do_nothing_is_done(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    synthesize_once(request_of_folder, workspace, generator)
    report = reconcile(workspace, generator)
    assert report.to_dict() == {"finished": [], "released": [], "swept": [], "unknown": []}
    assert_whole(workspace)


def test_what_another_ledger_may_own_is_left_alone(
    request_of_folder: SynthesisRequest, settings: Settings, generator: Synthesizer, tmp_path: Path
) -> None:
    with open_workspace(settings) as workspace:
        client = workspace.registry.client
        workspace.registry.check_writable()
        (experiment,) = [e for e in client.search_experiments() if e.name == "sgps-synthesis"]
        tags = {"request_id": "f" * 32, "task": "Of another ledger"}
        run = client.create_run(experiment.experiment_id, tags=tags)
        report = reconcile(workspace, generator)
        assert report.unknown == (f"run {run.info.run_id}",)
        assert client.get_run(run.info.run_id).info.lifecycle_stage == "active"


def test_a_run_that_lost_its_lease_is_swept(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    receipt = synthesize_once(request_of_folder, workspace, generator)
    client = workspace.registry.client
    kept = client.get_run(receipt.run_id)
    tags = {name: kept.data.tags[name] for name in ("request_id", "task")}
    stray = client.create_run(kept.info.experiment_id, tags=tags)
    assert reconcile(workspace, generator).swept == (f"run {stray.info.run_id}",)
    assert_whole(workspace)


def test_the_second_of_two_versions_of_a_run_is_swept(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    receipt = synthesize_once(request_of_folder, workspace, generator)
    client = workspace.registry.client
    kept = client.get_model_version(receipt.model_name, receipt.version)
    tags = {**kept.tags, "state": "unfinished"}
    client.create_model_version(kept.name, kept.source, kept.run_id, tags)
    assert reconcile(workspace, generator).swept == ("models:/skin-marks/2",)
    load_model(receipt.model_uri, workspace)
    assert_whole(workspace)


def test_a_version_without_a_run_is_swept(
    die_at: Callable[[str], None], settings: Settings, generator: Synthesizer
) -> None:
    die_at("record_in_ledger")
    with open_workspace(settings) as workspace:
        (row,) = workspace.ledger.outbox.recent()
        (run,) = workspace.registry.request_runs()
        workspace.registry.client.delete_run(run.run_id)
        give_up(row, "nobody wants it", workspace)
        assert reconcile(workspace, generator).swept == ("models:/skin-marks/1",)
        assert_whole(workspace, 0)


def test_a_run_that_cannot_be_swept_is_told_of_when_it_is(
    die_at: Callable[[str], None], settings: Settings, generator: Synthesizer, tmp_path: Path
) -> None:
    die_at("create_version")
    with open_workspace(settings) as workspace:
        (row,) = workspace.ledger.outbox.recent()
        give_up(row, "nobody wants it", workspace)
        (run,) = workspace.registry.request_runs()
        (model,) = settings.artifact_folder.glob("*/artifacts/model")
        aside = model.rename(tmp_path / "aside")
        model.symlink_to(aside)
        assert reconcile(workspace, generator).swept == ()
        model.unlink()
        aside.rename(model)
        assert reconcile(workspace, generator).swept == (f"run {run.run_id}",)
        assert_whole(workspace, 0)


def test_a_version_made_before_an_interrupt_is_taken_by_the_next_attempt(
    request_of_folder: SynthesisRequest,
    workspace: Workspace,
    generator: Synthesizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = submit(request_of_folder, workspace, generator)
    client = workspace.registry.client
    create = client.create_model_version

    def create_and_be_interrupted(*args: object, **kwargs: object) -> None:
        create(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(client, "create_model_version", create_and_be_interrupted)
        with pytest.raises(KeyboardInterrupt):
            process(sent.request_id, workspace, generator)
    (left,) = workspace.registry.request_runs()
    assert process(sent.request_id, workspace, generator).state is RequestState.DONE
    (kept,) = workspace.registry.request_runs()
    assert kept.version == left.version
    assert_whole(workspace)


def test_images_on_another_machine_are_waited_for(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    sent = submit(request_of_folder, workspace, generator)
    spool = Spool(workspace.settings.home_folder)
    (spool.path / sent.request_id).rename(spool.path.parent / "elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Spool, "owner", "other:/home")
        (line,) = reconcile(workspace, generator).released
    assert "lie on another machine" in line
    (spool.path.parent / "elsewhere").rename(spool.path / sent.request_id)
    assert len(reconcile(workspace, generator).finished) == 1
    assert_whole(workspace)


def test_a_request_that_waited_for_a_store_for_long_is_not_given_up(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    sent = submit(request_of_folder, workspace, generator)
    outbox = workspace.ledger.outbox
    for _ in range(2 * MAX_CRASHES):
        row = outbox.claim(sent.request_id, 60)
        assert row is not None
        assert outbox.release(sent.request_id, "the registry is down", attempt=row.attempts)
    assert outbox.claim(sent.request_id, -1.0) is not None
    reconcile(workspace, generator)
    assert status(sent.request_id, workspace).state is RequestState.DONE
    assert_whole(workspace)


def test_a_request_that_ends_every_process_is_given_up(
    request_of_folder: SynthesisRequest, workspace: Workspace, generator: Synthesizer
) -> None:
    sent = submit(request_of_folder, workspace, generator)
    for _ in range(MAX_CRASHES):
        assert workspace.ledger.outbox.claim(sent.request_id, -1.0) is not None
    reconcile(workspace, generator)
    ended = status(sent.request_id, workspace)
    assert ended.state is RequestState.FAILED
    assert "every attempt ended the process" in ended.error
    assert_whole(workspace, 0)
