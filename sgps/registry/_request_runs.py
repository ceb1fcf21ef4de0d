"""The runs and versions that came of a request, finished or not."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgps.errors import IntegrityError
from sgps.registry._mlflow import MlflowClient, MlflowException, download_artifacts
from sgps.registry.naming import model_name_for
from sgps.registry.versions import RegisteredVersion

_PAGE = 1_000


@dataclass(frozen=True)
class RequestRun:
    """A run of a request; ``version`` is None where its registration did not come to its end."""

    request_id: str
    run_id: str
    artifact_uri: str
    model_name: str
    version: RegisteredVersion | None


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
                found.append(
                    RequestRun(
                        request_id=tags["request_id"],
                        run_id=run.info.run_id,
                        artifact_uri=str(run.info.artifact_uri),
                        model_name=model_name_for(tags["task"]),
                        version=versions.get(run.info.run_id),
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
    """
    artifact_uri = client.get_run(run_id).info.artifact_uri
    try:
        with tempfile.TemporaryDirectory(prefix="sgps-") as scratch:
            path = download_artifacts(
                artifact_uri=f"{artifact_uri}/audit.json",
                dst_path=scratch,
                tracking_uri=tracking_uri,
            )
            return dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (MlflowException, OSError, ValueError, TypeError) as error:
        raise IntegrityError(f"run {run_id} holds no audit record") from error


def _versions(client: MlflowClient, clause: str, uri: str) -> dict[str, RegisteredVersion]:
    found: dict[str, RegisteredVersion] = {}
    token: str | None = None
    while True:
        page = client.search_model_versions(clause or None, max_results=_PAGE, page_token=token)
        for one in page:
            found[one.run_id or ""] = RegisteredVersion(
                model_name=one.name,
                version=str(one.version),
                model_uri=f"models:/{one.name}/{one.version}",
                tracking_uri=uri,
                run_id=one.run_id or "",
            )
        token = page.token
        if not token:
            return found
