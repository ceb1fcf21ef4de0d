"""The runs and versions that came of a request, finished or not."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sgps.errors import IntegrityError
from sgps.registry._artifact_files import fetch_artifact
from sgps.registry._mlflow import MlflowClient, MlflowException, ModelVersion, ViewType
from sgps.registry._searching import is_unfinished
from sgps.registry.versions import RegisteredVersion

_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")
_PAGE = 1_000


@dataclass(frozen=True)
class RequestRun:
    """A version of a request, or a run whose registration did not come to a version.

    A run with two versions, as a repeated call to the server makes them, is there twice; the run
    of an unfinished version may be deleted. ``unfinished``: nobody else may see the version yet.
    """

    request_id: str
    run_id: str
    version: RegisteredVersion | None
    unfinished: bool = False


def find_request_runs(
    client: MlflowClient,
    experiment_id: str,
    tracking_uri: str,
    request_id: str | None,
    *,
    deleted: bool = False,
) -> list[RequestRun]:
    """What came of one request, or of all, oldest run first; versions without their run are last.

    ``deleted``: also runs that MLflow counts as deleted. What no request made is left out.
    """
    clause = f"tags.`request_id` = '{request_id}'" if request_id else ""
    versions = _versions(client, clause, tracking_uri)
    found: list[RequestRun] = []
    for run in _runs(client, experiment_id, clause, deleted):
        tags = run.data.tags
        if "request_id" in tags and "task" in tags:
            request, run_id = tags["request_id"], run.info.run_id
            bare = RequestRun(request, run_id, version=None)
            of_run = versions.pop(run_id, [bare])
            found += [replace(version, request_id=request) for version in of_run]
    left = itertools.chain.from_iterable(versions.values())
    return [*found, *(one for one in left if one.unfinished and one.request_id)]


def find_run(client: MlflowClient, run_id: str) -> Any:
    """MLflow's run of that id, deleted or not; None where there is none."""
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in _NOT_THERE:
            return None
        raise


def versions_of_run(client: MlflowClient, run_id: str) -> list[ModelVersion]:
    """Every version that was made of a run: two where a repeated call to the server made them."""
    return list(client.search_model_versions(f"run_id = '{run_id}'"))


def read_audit_record(client: MlflowClient, tracking_uri: str, run_id: str) -> dict[str, Any]:
    """The ``audit.json`` of a run.

    Raises
    ------
    IntegrityError: it is not there, or no JSON mapping.
    OSError, MlflowException, ...: it cannot be read now.
    """
    address = str(client.get_run(run_id).info.artifact_uri)
    try:
        with tempfile.TemporaryDirectory(prefix="sgps-") as scratch:
            path = fetch_artifact(tracking_uri, address, "audit.json", Path(scratch))
            return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError) as error:
        raise IntegrityError(f"run {run_id} holds no audit record") from error


def _runs(client: MlflowClient, experiment_id: str, clause: str, deleted: bool) -> Iterator[Any]:
    view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id], clause, view, _PAGE, order_by=["start_time"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _versions(client: MlflowClient, clause: str, uri: str) -> dict[str, list[RequestRun]]:
    """The versions of each run, by number."""
    found: dict[str, list[RequestRun]] = defaultdict(list)
    token: str | None = None
    while True:
        page = client.search_model_versions(
            clause or None,
            max_results=_PAGE,
            order_by=["version_number ASC"],
            page_token=token,
        )
        for one in page:
            if one.run_id:
                found[one.run_id].append(_of_version(one, uri))
        token = page.token
        if not token:
            return found


def _of_version(found: ModelVersion, uri: str) -> RequestRun:
    version = RegisteredVersion(
        model_name=found.name,
        version=str(found.version),
        model_uri=f"models:/{found.name}/{found.version}",
        tracking_uri=uri,
        run_id=str(found.run_id),
    )
    return RequestRun(
        found.tags.get("request_id", ""), version.run_id, version, unfinished=is_unfinished(found)
    )
