"""Bringing what MLflow shows of a version (tag, description, alias) to what was decided."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sgps.registry._labels import VersionFacts, describe_version
from sgps.registry._mlflow import MlflowClient, MlflowException, ModelVersion
from sgps.registry._reachability import quick_failure, store_errors
from sgps.registry.mlflow_registry import ModelRegistry
from sgps.registry.states import APPROVED_ALIAS, State, StateChange
from sgps.registry.versions import VersionSummary

STATE_TAG = "state"
_NOTE_TAG = "mlflow.note.content"
_NOT_THERE = "RESOURCE_DOES_NOT_EXIST"


def label_version(
    registry: ModelRegistry, version: VersionSummary, state: State, history: Sequence[StateChange]
) -> tuple[str, ...]:
    """Show ``state`` and ``history`` on a version and its run; what had to be changed, in words.

    The description is made anew from the tags of the version and the files of its run.

    Raises
    ------
    UnknownNameError: there is no such version (any more).
    StoreError: the store cannot be written.
    """
    with _writing(registry):
        client = registry.client
        stored = client.get_model_version(version.model_name, version.version)
        description = _description(client, stored, state, history)
        return (
            *_label_version(client, stored, state, description),
            *_label_run(client, str(stored.run_id or ""), state, description),
        )


def point_approved_alias(
    registry: ModelRegistry, model_name: str, version: str | None
) -> tuple[str, ...]:
    """Let the alias ``approved`` stand for ``version``, or for nothing; what changed, in words.

    Raises
    ------
    StoreError: the store cannot be written.
    """
    with _writing(registry):
        client = registry.client
        found = client.get_registered_model(model_name).aliases.get(APPROVED_ALIAS)
        now = None if found is None else str(found)
        if now == version:
            return ()
        if version is None:
            client.delete_registered_model_alias(model_name, APPROVED_ALIAS)
        else:
            client.set_registered_model_alias(model_name, APPROVED_ALIAS, version)
        return (f"alias {APPROVED_ALIAS}: {_or_nothing(now)} -> {_or_nothing(version)}",)


@contextlib.contextmanager
def _writing(registry: ModelRegistry) -> Iterator[None]:
    with store_errors(registry.tracking_uri), quick_failure():
        yield


def _label_version(
    client: MlflowClient, stored: ModelVersion, state: State, description: str
) -> tuple[str, ...]:
    name, number = stored.name, str(stored.version)
    changes = []
    before = stored.tags.get(STATE_TAG, "")
    if before != state:
        client.set_model_version_tag(name, number, STATE_TAG, state.value)
        changes.append(f"state of the version: {_or_nothing(before)} -> {state}")
    if stored.description != description:
        client.update_model_version(name, number, description)
        changes.append("description of the version")
    return tuple(changes)


def _label_run(
    client: MlflowClient, run_id: str, state: State, description: str
) -> tuple[str, ...]:
    if not run_id:
        return ()
    try:
        tags = client.get_run(run_id).data.tags
        before = tags.get(STATE_TAG, "")
        if before != state:
            client.set_tag(run_id, STATE_TAG, state.value)
        if tags.get(_NOTE_TAG) != description:
            client.set_tag(run_id, _NOTE_TAG, description)
    except MlflowException as error:
        if error.error_code not in (_NOT_THERE, "INVALID_PARAMETER_VALUE"):
            raise
        return ()  # a run that was deleted with its content
    return (f"state of the run: {_or_nothing(before)} -> {state}",) if before != state else ()


def _description(
    client: MlflowClient, stored: ModelVersion, state: State, history: Sequence[StateChange]
) -> str:
    run_id = str(stored.run_id or "")
    facts = VersionFacts.of_run(
        stored.tags,
        _document(client, run_id, "audit.json"),
        _document(client, run_id, "texts.json"),
    )
    experiment_id = ""
    with contextlib.suppress(MlflowException):
        experiment_id = client.get_run(run_id).info.experiment_id
    return describe_version(facts, state, history, run_id=run_id, experiment_id=experiment_id)


def _document(client: MlflowClient, run_id: str, name: str) -> dict[str, Any]:
    """A JSON file of the run; empty where it is not there (any more)."""
    with tempfile.TemporaryDirectory(prefix="sgps-") as scratch:
        try:
            if name not in {item.path for item in client.list_artifacts(run_id)}:
                return {}
            path = Path(client.download_artifacts(run_id, name, scratch))
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            return {}
        except MlflowException as error:
            if error.error_code != _NOT_THERE:
                raise
            return {}


def _or_nothing(value: str | None) -> str:
    return value or "nothing"
