"""Erasing what the store holds of a version, for good."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sgps.registry._experiments import is_server
from sgps.registry._labels import escape_markdown
from sgps.registry._mlflow import MlflowClient, get_artifact_repository
from sgps.registry._reachability import store_errors
from sgps.registry.contents import ERASED, find_run, find_stored, local_folder
from sgps.registry.mlflow_registry import ModelRegistry

KEPT_TAGS = ("task", "requester", "request_id", "generator", "generator_sha256", "architecture")
"""Tags that an erased version keeps, beside its state."""
_BUSY_SECONDS = 10.0


@dataclass(frozen=True)
class ErasedContents:
    """What was deleted: files and bytes, and whether the run itself could go for good."""

    files: int
    size: int
    run_gone: bool


@dataclass(frozen=True)
class Epitaph:
    """What an erased version says; ``entry`` is the number of the ledger entry that tells more."""

    who: str
    why: str
    time: str
    entry: int

    def to_markdown(self) -> str:
        """The description of the version; every text is escaped."""
        return (
            f"**Erased** on {self.time[:10]} by {escape_markdown(self.who)}:"
            f" {escape_markdown(self.why)}\n\n"
            "Images, texts and weights were deleted; this number stays as a mark."
            f" See entry {self.entry} of the ledger."
        )


def erase_contents(registry: ModelRegistry, run_id: str) -> ErasedContents:
    """Delete the artifacts of a run from where they lie, then its tags, then the run.

    Behind an MLflow server the emptied run stays marked as deleted until ``mlflow gc``. Can be
    called again after it was interrupted.

    Raises
    ------
    StoreError: the store cannot be written, or files are left.
    """
    client = registry.client
    with store_errors(client.tracking_uri):
        run = find_run(client, run_id)
        if run is None:
            return ErasedContents(0, 0, run_gone=True)
        files, size = _delete_artifacts(client, str(run.info.artifact_uri))
        if run.info.lifecycle_stage == "active":
            for tag in run.data.tags:
                if tag not in KEPT_TAGS:
                    client.delete_tag(run_id, tag)
            client.delete_run(run_id)
        return ErasedContents(files, size, run_gone=_delete_for_good(client, run_id))


def bury_version(registry: ModelRegistry, model_name: str, version: str, epitaph: Epitaph) -> bool:
    """Leave of a version its number, who asked for what, and the epitaph.

    Aliases that point at it go. False where there is no such version.

    Raises
    ------
    StoreError: the store cannot be written.
    """
    client = registry.client
    found = find_stored(registry, model_name, version)
    if found is None:
        return False
    with store_errors(client.tracking_uri):
        for alias in found.aliases:
            client.delete_registered_model_alias(model_name, alias)
        client.set_model_version_tag(model_name, version, "state", ERASED)
        for tag in found.tags:
            if tag not in (*KEPT_TAGS, "state"):
                client.delete_model_version_tag(model_name, version, tag)
        client.update_model_version(model_name, version, description=epitaph.to_markdown())
    return True


def compact(registry: ModelRegistry) -> bool:
    """Rewrite an SQLite store, so that deleted rows are not left in the file's free space.

    False where the store is no SQLite file, or is in use.
    """
    uri = str(registry.client.tracking_uri)
    if not uri.startswith("sqlite"):
        return False
    path = uri.partition(":///")[2].partition("?")[0]
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as store:
            store.execute("VACUUM")
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        return False
    return True


def _delete_artifacts(client: MlflowClient, address: str) -> tuple[int, int]:
    repository: Any = get_artifact_repository(address, tracking_uri=client.tracking_uri)
    sizes = [int(item.file_size or 0) for item in _walk(repository, None)]
    local = local_folder(address)
    if local is None or local.is_dir():
        for item in repository.list_artifacts():
            repository.delete_artifacts(item.path)
    left = [item.path for item in _walk(repository, None)]
    if left:
        raise OSError(f"{len(left)} artifacts could not be deleted, such as {left[0]}")
    if local is not None:
        with contextlib.suppress(OSError):
            local.rmdir()
            local.parent.rmdir()
    return len(sizes), sum(sizes)


def _walk(repository: Any, path: str | None) -> Iterator[Any]:
    for item in repository.list_artifacts(path):
        if item.is_dir:
            yield from _walk(repository, item.path)
        else:
            yield item


def _delete_for_good(client: MlflowClient, run_id: str) -> bool:
    if is_server(str(client.tracking_uri)):
        return False
    # What `mlflow gc` calls; MLflow's client has no call of its own for it.
    store: Any = client._tracking_client.store
    store._hard_delete_run(run_id)
    return True
