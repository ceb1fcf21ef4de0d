"""The runs and versions that came of a request, finished or not."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgps.errors import IntegrityError
from sgps.registry._artifact_files import fetch_artifact
from sgps.registry._mlflow import MlflowClient
from sgps.registry._searching import is_unfinished
from sgps.registry.versions import RegisteredVersion

_PAGE = 1_000


@dataclass(frozen=True)
class RequestRun:
    """A run of a request; ``version`` is None where its registration did not come to its end.

    ``unfinished``: there is a version, which nobody else may see yet.
    """

    request_id: str
    run_id: str
    artifact_uri: str
    version: RegisteredVersion | None
    unfinished: bool = False


def find_request_runs(
    client: MlflowClient, experiment_id: str, tracking_uri: str, request_id: str | None
) -> list[RequestRun]:
    """Runs of one request, or of all, oldest first; runs without a request are left out."""
    clause = f"tags.request_id = '{request_id}'" if request_id else ""
    versions = _versions(client, clause.replace("request_id", "`request_id`"), tracking_uri)
    found: list[RequestRun] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id], clause, max_results=_PAGE, order_by=["start_time"], page_token=token
        )
        for run in page:
            tags = run.data.tags
            if "request_id" in tags and "task" in tags:
                version, unfinished = versions.get(run.info.run_id, (None, False))
                found.append(
                    RequestRun(
                        request_id=tags["request_id"],
                        run_id=run.info.run_id,
                        artifact_uri=str(run.info.artifact_uri),
                        version=version,
                        unfinished=unfinished,
                    )
                )
        token = page.token
        if not token:
            return found


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


def _versions(
    client: MlflowClient, clause: str, uri: str
) -> dict[str, tuple[RegisteredVersion, bool]]:
    found: dict[str, tuple[RegisteredVersion, bool]] = {}
    token: str | None = None
    while True:
        page = client.search_model_versions(clause or None, max_results=_PAGE, page_token=token)
        for one in page:
            version = RegisteredVersion(
                model_name=one.name,
                version=str(one.version),
                model_uri=f"models:/{one.name}/{one.version}",
                tracking_uri=uri,
                run_id=one.run_id or "",
            )
            found[version.run_id] = version, is_unfinished(one)
        token = page.token
        if not token:
            return found
