"""What the store holds of a version: labels and artifacts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sgps.registry._artifact_files import local_folder
from sgps.registry._mlflow import (
    MlflowClient,
    MlflowException,
    ModelVersion,
    get_artifact_repository,
)
from sgps.registry._package_folder import CLASSIFIER_PATH, LOADER, MODEL_FOLDER
from sgps.registry._reachability import store_errors
from sgps.registry._request_runs import find_run
from sgps.registry.mlflow_registry import ModelRegistry

ERASED = "erased"
CLASSIFIER_FOLDER = f"{MODEL_FOLDER}/{CLASSIFIER_PATH}"
_LOADERS = (LOADER, "sgps.registry.pyfunc_loader")
"""Ours, and that of versions of 0.1.0."""
_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")
_PAGE = 1_000


@dataclass(frozen=True)
class StoredVersion:
    """One version as the store has it; ``aliases`` are those that point at it."""

    model_name: str
    version: str
    run_id: str
    source: str
    description: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...] = ()

    @property
    def model_uri(self) -> str:
        """``models:/name/version``."""
        return f"models:/{self.model_name}/{self.version}"


def list_versions(registry: ModelRegistry) -> list[StoredVersion]:
    """Every version of every model. Raises StoreError."""
    client = registry.client
    found: list[StoredVersion] = []
    with store_errors(client.tracking_uri):
        aliases = _all_aliases(client)
        token: str | None = None
        while True:
            page = client.search_model_versions(max_results=_PAGE, page_token=token)
            found += [_stored(one, aliases.get(one.name, {})) for one in page]
            token = page.token
            if not token:
                return found


def find_stored(registry: ModelRegistry, model_name: str, version: str) -> StoredVersion | None:
    """One version as the store has it; None where there is none. Raises StoreError."""
    client = registry.client
    with store_errors(client.tracking_uri):
        try:
            found = client.get_model_version(model_name, version)
            return _stored(found, client.get_registered_model(model_name).aliases)
        except MlflowException as error:
            if error.error_code in _NOT_THERE:
                return None
            raise


def artifact_address(registry: ModelRegistry, run_id: str) -> str | None:
    """Where the artifacts of a run lie; None where the run is gone. Raises StoreError."""
    with store_errors(registry.client.tracking_uri):
        run = find_run(registry.client, run_id)
        return None if run is None else str(run.info.artifact_uri)


@contextmanager
def open_contents(
    registry: ModelRegistry, run_id: str, names: Sequence[str] = ()
) -> Iterator[Path | None]:
    """The artifacts of a run as a folder to read, and no longer than the block; None for none.

    Artifacts on this machine are read where they lie. Of others the files ``names`` at the top are
    fetched, or all where none are named.

    Raises
    ------
    StoreError: the store cannot be read.
    """
    address = artifact_address(registry, run_id)
    if address is None:
        yield None
        return
    local = local_folder(address)
    if local is not None:
        yield local if local.is_dir() else None
        return
    uri = registry.client.tracking_uri
    with tempfile.TemporaryDirectory(prefix="sgps-") as scratch:
        with store_errors(uri):
            repository: Any = get_artifact_repository(address, tracking_uri=uri)
            there = {item.path for item in repository.list_artifacts()}
            for name in there.intersection(names) if names else [""] if there else []:
                repository.download_artifacts(name, dst_path=scratch)
        yield Path(scratch) if there else None


def foreign_loading(folder: Path) -> str:
    """What MLflow would load a model with, where that is not our own loader; "" where it is.

    ``folder`` holds the artifacts of a run.
    """
    try:
        text = (folder / MODEL_FOLDER / "MLmodel").read_text(encoding="utf-8")
        flavours = yaml.safe_load(text)["flavors"]
        only = flavours["python_function"]
        loading = (sorted(flavours), only["loader_module"], only["data"], only.get("code"))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        return f"no readable MLmodel ({type(error).__name__})"
    if any(loading == (["python_function"], own, CLASSIFIER_PATH, None) for own in _LOADERS):
        return ""
    return f"flavours {loading[0]}, loader {loading[1]!r}, data {loading[2]!r}, code {loading[3]!r}"


def _stored(found: ModelVersion, aliases: Mapping[str, str]) -> StoredVersion:
    number = str(found.version)
    return StoredVersion(
        model_name=found.name,
        version=number,
        run_id=found.run_id or "",
        source=str(found.source or ""),
        description=found.description or "",
        tags=dict(found.tags),
        aliases=tuple(sorted(name for name, at in aliases.items() if str(at) == number)),
    )


def _all_aliases(client: MlflowClient) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    token: str | None = None
    while True:
        page = client.search_registered_models(max_results=_PAGE, page_token=token)
        found |= {model.name: model.aliases for model in page}
        token = page.token
        if not token:
            return found
