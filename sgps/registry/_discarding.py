"""Deleting runs and versions without MLflow keeping what they say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sgps.registry._artifact_files import delete_artifacts
from sgps.registry._mlflow import MlflowClient, MlflowException
from sgps.registry._request_runs import find_run, versions_of_run
from sgps.registry._tags import KEPT_TAGS

_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
_ACTIVE = "active"


def delete_version(client: MlflowClient, name: str, version: str) -> None:
    """Delete a version, its tags first: MLflow keeps those of a deleted one.

    The kept tags and the state stay to its end, so that it is found if that is not reached.

    Raises
    ------
    MlflowException: it cannot be deleted now.
    """
    with _if_there():
        for tag in client.get_model_version(name, version).tags:
            if tag not in (*KEPT_TAGS, "state"):
                client.delete_model_version_tag(name, version, tag)
        client.delete_model_version(name, version)


def delete_run(client: MlflowClient, run: Any) -> None:
    """Mark a run as deleted, its tags deleted first: a deleted one keeps them.

    Raises
    ------
    MlflowException: it cannot be deleted now.
    """
    run_id = run.info.run_id
    tags = [tag for tag in run.data.tags if tag not in KEPT_TAGS]
    if run.info.lifecycle_stage != _ACTIVE:
        if not tags:
            return
        client.restore_run(run_id)  # MLflow alters no deleted run
    for tag in tags:
        with _if_there():
            client.delete_tag(run_id, tag)
    client.delete_run(run_id)


def discard_run(client: MlflowClient, run_id: str) -> None:
    """Delete a run with its versions and artifacts, itself last: until then it is found.

    Raises
    ------
    OSError, MlflowException, ...: something is left.
    """
    for version in versions_of_run(client, run_id):
        delete_version(client, version.name, str(version.version))
    run = find_run(client, run_id)
    if run is None:
        return
    if run.info.lifecycle_stage == _ACTIVE:
        client.set_terminated(run_id, status="FAILED")
    delete_artifacts(client.tracking_uri, str(run.info.artifact_uri))
    delete_run(client, run)


@contextlib.contextmanager
def _if_there() -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code not in _NOT_THERE:
            raise
