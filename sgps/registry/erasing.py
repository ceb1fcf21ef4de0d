"""Erasing what the store holds of a version, for good."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sgps.registry._artifact_files import delete_artifacts
from sgps.registry._discarding import delete_run
from sgps.registry._experiments import is_server
from sgps.registry._labels import escape_markdown
from sgps.registry._mlflow import MlflowClient
from sgps.registry._reachability import store_errors
from sgps.registry._request_runs import find_run
from sgps.registry._tags import KEPT_TAGS
from sgps.registry.contents import ERASED, find_stored
from sgps.registry.mlflow_registry import ModelRegistry

_BUSY_SECONDS = 10.0
_FORGET_DELETED_VERSIONS = """
    DELETE FROM model_version_tags WHERE (workspace, name, version) IN (
        SELECT workspace, name, version FROM model_versions
        WHERE current_stage = 'Deleted_Internal'
    )
"""


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
        files, size = delete_artifacts(client.tracking_uri, str(run.info.artifact_uri))
        delete_run(client, run)
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

    What it keeps of the tags of deleted versions goes before. False where the store is no SQLite
    file, or is in use.
    """
    uri = str(registry.client.tracking_uri)
    if not uri.startswith("sqlite"):
        return False
    path = uri.partition(":///")[2].partition("?")[0]
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as store:
            store.execute(_FORGET_DELETED_VERSIONS)
            store.execute("VACUUM")
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        return False
    return True


def _delete_for_good(client: MlflowClient, run_id: str) -> bool:
    if is_server(str(client.tracking_uri)):
        return False
    # What `mlflow gc` calls; MLflow's client has no call of its own for it.
    store: Any = client._tracking_client.store
    store._hard_delete_run(run_id)
    return True
