"""Asking the Prefect deployment of a running system for a classifier, and waiting for it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.synthesize import RECEIPT_ARTIFACT
from sgps.errors import InputError, RequestError, StoreError, UnknownNameError
from sgps.service.addresses import prefect_api
from sgps.service.requests import SynthesisRequest
from sgps.settings import Settings

DEPLOYMENT = "synthesize/on-demand"
WAIT_SECONDS = 600.0
_POLL_SECONDS = 0.25


def synthesize_remotely(
    request: SynthesisRequest,
    settings: Settings,
    *,
    generator: str = "",
    key: str = "",
    wait_seconds: float = WAIT_SECONDS,
) -> dict[str, Any]:
    """Have the deployment ``synthesize/on-demand`` make a classifier; its receipt.

    The server is that of ``PREFECT_API_URL``, or the one that ``sgps up`` starts. Image paths are
    read on the machine that serves the deployment.

    Raises
    ------
    StoreError: no server answers.
    UnknownNameError: nobody serves the deployment.
    RequestError: the run ended without a classifier.
    InputError: the run took longer than ``wait_seconds``; it goes on.
    """
    address = PREFECT_API_URL.value() or prefect_api(settings.page_host, settings.prefect_port)
    with temporary_settings({PREFECT_API_URL: address}):
        try:
            run: Any = run_deployment(
                DEPLOYMENT,
                parameters={
                    "request": request.model_dump(mode="json"),
                    "generator": generator,
                    "key": key,
                },
                timeout=wait_seconds,
                poll_interval=_POLL_SECONDS,
                as_subflow=False,
            )
        except ObjectNotFound as error:
            raise UnknownNameError(
                f"the server at {address} has no deployment {DEPLOYMENT}",
                remedy="start the system with: sgps up",
            ) from error
        except PrefectHTTPStatusError as error:
            raise _refused(address, error) from error
        except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
            raise _no_answer(address) from error
        except RuntimeError as error:
            if "reach" not in str(error):
                raise
            raise _no_answer(address) from error
        return _receipt_of(run, wait_seconds)


def _receipt_of(run: Any, wait_seconds: float) -> dict[str, Any]:
    state = run.state
    if state is None or not state.is_final():
        raise InputError(
            f"flow run {run.name} is not done after {wait_seconds:g} seconds",
            remedy="look at it in the Prefect UI; sent again, the request gives the same version",
        )
    if not state.is_completed():
        raise RequestError(
            f"flow run {run.name} ended as {state.name}: {_reason(state.message or '')}",
            remedy="see its log in the Prefect UI",
        )
    return _read_receipt(run.id)


def _read_receipt(run_id: UUID) -> dict[str, Any]:
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=of_run)
    for artifact in found:
        if artifact.key == RECEIPT_ARTIFACT:
            [row] = json.loads(str(artifact.data))
            return dict(row)
    raise RequestError(f"flow run {run_id} left no receipt", remedy="see its log in the Prefect UI")


def _reason(message: str) -> str:
    """The error of the flow in one line, without Prefect's introduction."""
    return " ".join(message.removeprefix("Flow run encountered an exception: ").split())


def _refused(address: str, error: PrefectHTTPStatusError) -> StoreError:
    if error.response.status_code in (401, 403):
        return StoreError(
            f"the Prefect server at {address} asks who you are",
            expected="PREFECT_API_AUTH_STRING=USER:PASSWORD of the first account",
            remedy="set it and try again",
        )
    return StoreError(
        f"the Prefect server at {address} answers {error.response.status_code}",
        remedy="look at its log",
    )


def _no_answer(address: str) -> StoreError:
    return StoreError(
        f"no Prefect server answers at {address}",
        remedy="start the system with 'sgps up', or set PREFECT_API_URL; sent again, a request"
        " that was taken gives the same version",
    )
