"""Discarding what a request left in MLflow: nothing is kept of it, nothing is lost sight of."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sgps.registry import ModelPackage, ModelRegistry, RegisteredVersion, RequestRun
from sgps.registry._discarding import delete_run
from sgps.registry._tags import KEPT_TAGS
from sgps.registry.contents import list_versions
from sgps.registry.erasing import compact, erase_contents

BuildPackage = Callable[..., ModelPackage]
SECRET = "Words that nobody may keep"
REQUEST = "e" * 32


@pytest.fixture
def package(build_package: BuildPackage) -> ModelPackage:
    return build_package(request_id=REQUEST, text=SECRET, purpose=SECRET)


@pytest.fixture
def unfinished(registry: ModelRegistry, package: ModelPackage) -> RegisteredVersion:
    return registry.register(package, unfinished=True)


@pytest.fixture
def half_made(unfinished: RegisteredVersion, registry: ModelRegistry) -> RequestRun:
    """The run of a worker that was killed before it asked for a version."""
    registry.discard_version(unfinished)
    (run,) = registry.request_runs(REQUEST)
    assert run.version is None
    assert SECRET in registry.client.get_run(run.run_id).data.tags["mlflow.note.content"]
    return run


def database(registry: ModelRegistry) -> bytes:
    assert compact(registry)
    return database_file(registry).read_bytes()


def database_file(registry: ModelRegistry) -> Path:
    return Path(registry.tracking_uri.removeprefix("sqlite:///"))


def secrets(package: ModelPackage) -> list[bytes]:
    return [SECRET.encode(), *(image.pixel_sha256[:12].encode() for image in package.support)]


def second_version(registry: ModelRegistry, first: RegisteredVersion) -> None:
    """What a repeated call to the server makes."""
    client = registry.client
    stored = client.get_model_version(first.model_name, first.version)
    client.create_model_version(
        stored.name, stored.source, stored.run_id, stored.tags, description=stored.description
    )


@contextmanager
def cannot_be_deleted(artifact: Path, aside: Path) -> Iterator[None]:
    artifact.rename(aside)
    artifact.symlink_to(aside)
    yield
    artifact.unlink()
    aside.rename(artifact)


def test_a_discarded_run_keeps_no_texts(
    half_made: RequestRun, registry: ModelRegistry, package: ModelPackage
) -> None:
    assert registry.discard(half_made)
    kept = registry.client.get_run(half_made.run_id)
    assert kept.info.lifecycle_stage == "deleted"
    assert set(kept.data.tags) <= set(KEPT_TAGS)
    content = database(registry)
    for secret in secrets(package):
        assert secret not in content, secret


def test_a_discarded_version_keeps_no_texts(
    unfinished: RegisteredVersion, registry: ModelRegistry
) -> None:
    registry.discard_version(unfinished)
    with closing(sqlite3.connect(database_file(registry))) as store:
        kept = {key for (key,) in store.execute("SELECT key FROM model_version_tags")}
    assert kept == {*KEPT_TAGS, "state"}


@pytest.mark.parametrize("attribute", ["discard", "remove"])
def test_a_version_that_is_gone_already_is_no_error(
    unfinished: RegisteredVersion, registry: ModelRegistry, attribute: str
) -> None:
    (run,) = registry.request_runs(REQUEST)
    registry.remove(unfinished)
    getattr(registry, attribute)(run if attribute == "discard" else unfinished)
    assert registry.request_runs() == []


def test_what_was_deleted_with_its_tags_is_erased(
    unfinished: RegisteredVersion, registry: ModelRegistry, package: ModelPackage
) -> None:
    registry.client.delete_model_version(unfinished.model_name, unfinished.version)
    registry.client.delete_run(unfinished.run_id)
    assert registry.request_runs(REQUEST) == []
    (run,) = registry.request_runs(REQUEST, deleted=True)
    assert erase_contents(registry, run.run_id).run_gone
    content = database(registry)
    for secret in secrets(package):
        assert secret not in content, secret


def test_a_deleted_run_loses_its_tags_where_it_cannot_go_for_good(
    half_made: RequestRun, registry: ModelRegistry
) -> None:
    client = registry.client
    client.delete_run(half_made.run_id)
    for _ in range(2):
        delete_run(client, client.get_run(half_made.run_id))
        left = client.get_run(half_made.run_id)
        assert left.info.lifecycle_stage == "deleted"
        assert set(left.data.tags) == set(KEPT_TAGS)


def test_a_run_whose_artifacts_cannot_be_deleted_is_found_again(
    half_made: RequestRun, registry: ModelRegistry, artifact_folder: Path, tmp_path: Path
) -> None:
    (model,) = artifact_folder.glob("*/artifacts/model")
    with cannot_be_deleted(model, tmp_path / "aside"):
        assert not registry.discard(half_made)
        assert registry.request_runs() == [half_made]
        assert registry.client.get_run(half_made.run_id).info.status == "FAILED"
    assert registry.discard(half_made)
    assert registry.request_runs() == []
    assert [path for path in artifact_folder.rglob("*") if path.is_file()] == []


def test_a_version_whose_run_is_deleted_is_found_and_discarded(
    unfinished: RegisteredVersion, registry: ModelRegistry, artifact_folder: Path
) -> None:
    registry.client.delete_run(unfinished.run_id)
    for request_id in (REQUEST, None):
        (found,) = registry.request_runs(request_id)
        assert found == RequestRun(REQUEST, unfinished.run_id, unfinished, unfinished=True)
    assert registry.discard(found)
    assert registry.request_runs() == list_versions(registry) == []
    assert [path for path in artifact_folder.rglob("*") if path.is_file()] == []


def test_a_version_whose_run_is_gone_for_good_is_found_and_discarded(
    unfinished: RegisteredVersion, registry: ModelRegistry
) -> None:
    erase_contents(registry, unfinished.run_id)
    (found,) = registry.request_runs(REQUEST)
    assert found.version == unfinished
    assert registry.discard(found)
    assert registry.request_runs() == list_versions(registry) == []


def test_a_finished_version_without_a_run_is_left_alone(
    registry: ModelRegistry, build_package: BuildPackage
) -> None:
    registry.client.delete_run(registry.register(build_package()).run_id)
    assert registry.request_runs() == []


def test_of_two_versions_of_a_run_one_is_discarded_alone(
    unfinished: RegisteredVersion, registry: ModelRegistry, artifact_folder: Path
) -> None:
    second_version(registry, unfinished)
    first, second = registry.request_runs(REQUEST)
    assert first.version == unfinished
    assert second.version is not None
    assert (second.version.version, second.run_id) == ("2", unfinished.run_id)
    assert registry.discard(second)
    assert registry.request_runs() == [first]
    assert registry.load(unfinished.model_uri, unfinished=True).class_names
    second_version(registry, unfinished)
    registry.remove(unfinished)
    assert registry.request_runs() == list_versions(registry) == []
    assert [path for path in artifact_folder.rglob("*") if path.is_file()] == []


def test_of_two_versions_of_a_run_its_address_means_the_finished_one(
    unfinished: RegisteredVersion, registry: ModelRegistry
) -> None:
    second_version(registry, unfinished)
    for finished in ("1", "2"):
        registry.client.set_model_version_tag("skin-marks", finished, "state", "draft")
        assert registry.describe(f"runs:/{unfinished.run_id}/model").version == finished
        registry.client.set_model_version_tag("skin-marks", finished, "state", "unfinished")


@pytest.fixture
def interrupted(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C when the store has made the version, before it said so."""
    create = registry.client.create_model_version

    def create_and_be_interrupted(*args: Any, **kwargs: Any) -> None:
        create(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(registry.client, "create_model_version", create_and_be_interrupted)


@pytest.mark.usefixtures("interrupted")
def test_an_unfinished_version_made_before_an_interrupt_is_there_for_the_next_attempt(
    registry: ModelRegistry, package: ModelPackage
) -> None:
    with pytest.raises(KeyboardInterrupt):
        registry.register(package, unfinished=True)
    (run,) = registry.request_runs(REQUEST)
    assert run.unfinished
    assert run.version is not None
    assert registry.audit_record(run.run_id) == package.audit
    assert registry.load(run.version.model_uri, unfinished=True).class_names


@pytest.mark.usefixtures("interrupted")
def test_a_finished_version_made_before_an_interrupt_is_removed(
    registry: ModelRegistry, package: ModelPackage, artifact_folder: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        registry.register(package)
    assert registry.request_runs() == list_versions(registry) == []
    assert [path for path in artifact_folder.rglob("*") if path.is_file()] == []
