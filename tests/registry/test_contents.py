"""What is stored of a version, and erasing it for good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sgps.errors import StoreError
from sgps.registry import ModelRegistry
from sgps.registry.contents import (
    find_stored,
    foreign_loading,
    list_versions,
    open_contents,
)
from sgps.registry.erasing import Epitaph, bury_version, compact, erase_contents
from sgps.registry.package import ModelPackage

BuildPackage = Callable[..., ModelPackage]

EPITAPH = Epitaph("Dr. <b>Eve</b>", "Consent [x](y) withdrawn.", "2030-01-02T03:04:05+00:00", 7)


def test_contents_are_read_where_they_lie(
    registry: ModelRegistry, build_package: BuildPackage
) -> None:
    registered = registry.register(build_package())
    with open_contents(registry, registered.run_id) as folder:
        assert folder is not None
        assert (folder / "card.html").is_file()
        assert foreign_loading(folder) == ""
        assert "no readable MLmodel" in foreign_loading(folder / "support")
    with open_contents(registry, "f" * 32) as folder:
        assert folder is None
    (stored,) = list_versions(registry)
    assert stored == find_stored(registry, registered.model_name, registered.version)
    assert stored.run_id == registered.run_id
    assert find_stored(registry, "nosuch", "1") is None
    assert find_stored(registry, registered.model_name, "9") is None


def test_erased_contents_are_gone_from_disk_and_store(
    registry: ModelRegistry, build_package: BuildPackage, artifact_folder: Path
) -> None:
    kept = registry.register(build_package("Other task"))
    registered = registry.register(build_package())
    registry.client.set_registered_model_alias(registered.model_name, "approved", "1")
    erased = erase_contents(registry, registered.run_id)
    assert erased.files > 8
    assert erased.size > 1_000_000
    assert erased.run_gone
    assert not (artifact_folder / registered.run_id).exists()
    assert (artifact_folder / kept.run_id / "artifacts" / "card.html").is_file()
    again = erase_contents(registry, registered.run_id)
    assert (again.files, again.run_gone) == (0, True)

    assert bury_version(registry, registered.model_name, registered.version, EPITAPH)
    stored = find_stored(registry, registered.model_name, registered.version)
    assert stored is not None
    assert stored.tags["state"] == "erased"
    assert set(stored.tags) <= {
        "state", "task", "requester", "request_id", "generator", "generator_sha256",
        "architecture",
    }  # fmt: skip
    assert stored.aliases == ()
    assert "<b>" not in stored.description
    assert "[x](y)" not in stored.description
    assert "entry 7" in stored.description
    assert bury_version(registry, registered.model_name, registered.version, EPITAPH)
    assert not bury_version(registry, "nosuch", "1", EPITAPH)
    assert compact(registry)


def test_files_that_cannot_be_deleted_are_an_error(
    registry: ModelRegistry, build_package: BuildPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    registered = registry.register(build_package())
    monkeypatch.setattr(LocalArtifactRepository, "delete_artifacts", lambda *_: None)
    with pytest.raises(StoreError, match="could not be deleted"):
        erase_contents(registry, registered.run_id)
    assert find_stored(registry, registered.model_name, registered.version) is not None
