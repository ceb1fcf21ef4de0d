"""Versions that are not finished yet, and files that are there but cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sgps.errors import IntegrityError, StoreError, UnknownNameError
from sgps.registry import ModelPackage, ModelRegistry
from sgps.registry.finishing import finish_version

BuildPackage = Callable[..., ModelPackage]


def test_an_unfinished_version_is_as_if_it_were_not_there(
    registry: ModelRegistry, build_package: BuildPackage
) -> None:
    first = registry.register(build_package())
    package = build_package(request_id="e" * 32)
    second = registry.register(package, unfinished=True)
    (run,) = registry.request_runs("e" * 32)
    assert (run.version, run.unfinished) == (second, True)
    assert [found.version for found in registry.search()] == ["1"]
    assert registry.search(tags={"state": "unfinished"}) == []
    assert registry.describe("models:/skin-marks/latest").version == first.version
    for uri in (second.model_uri, f"runs:/{second.run_id}/model"):
        for ask in (registry.load, registry.describe):
            with pytest.raises(UnknownNameError, match="it is being made"):
                ask(uri)
    assert registry.load(second.model_uri, unfinished=True).class_names
    assert registry.describe(second.model_uri, unfinished=True).state == "unfinished"
    stored = registry.client.get_model_version("skin-marks", "2")
    assert "State: **unfinished** (not approved" in stored.description


def test_only_a_draft_to_be_is_finished(
    registry: ModelRegistry, build_package: BuildPackage
) -> None:
    package = build_package()
    registered = registry.register(package)
    registry.client.set_model_version_tag("skin-marks", "1", "state", "approved")
    finish_version(registry, registered, package, package.audit)
    assert registry.describe(registered.model_uri).state == "approved"


@pytest.mark.parametrize("place", ["scratch", "store"])
def test_files_that_cannot_be_read_are_not_taken_for_missing(
    place: str,
    registry: ModelRegistry,
    build_package: BuildPackage,
    artifact_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registered = registry.register(build_package())
    if place == "store":
        for name in ("classifier.safetensors", "audit.json"):
            (stored,) = artifact_folder.rglob(name)
            stored.unlink()
            stored.symlink_to(stored)
    else:
        (tmp_path / "scratch").write_text("no folder")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    with pytest.raises(StoreError, match="cannot be used"):
        registry.load(registered.model_uri)
    with pytest.raises(StoreError, match="cannot be used"):
        registry.audit_record(registered.run_id)


def test_a_version_that_lost_its_files_holds_no_classifier(
    registry: ModelRegistry, build_package: BuildPackage, artifact_folder: Path
) -> None:
    registered = registry.register(build_package())
    (stored,) = artifact_folder.rglob("classifier.safetensors")
    stored.unlink()
    (audit,) = artifact_folder.rglob("audit.json")
    audit.unlink()
    with pytest.raises(UnknownNameError, match="holds no synthesized classifier"):
        registry.load(registered.model_uri)
    with pytest.raises(IntegrityError, match="holds no audit record"):
        registry.audit_record(registered.run_id)
