"""Flow: request -> registered, recorded classifier, on demand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.running import run_script
from flows.scripts import make_parser
from flows.steps import step
from flows.versions import FLOW_VERSIONS, TASK_VERSIONS
from sgps.service.exactly_once import Submission, finish_request, submit
from sgps.service.parameters import read_synthesis_request
from sgps.service.provenance import FlowIdentity
from sgps.service.requests import SynthesisRequest
from sgps.service.synthesis import SynthesisReceipt
from sgps.service.versions import STEP_VERSIONS
from sgps.service.workspace import Workspace, open_workspace
from sgps.settings import load_settings, override_settings

RECEIPT_ARTIFACT = "receipt"
"""Key of the artifact that holds the receipt of a flow run."""


@step("submit_request", version=TASK_VERSIONS["submit_request"])
def submit_request(request: SynthesisRequest, workspace: Workspace, key: str | None) -> Submission:
    """Check and decode the request, and accept it, unless it was before."""
    return submit(request, workspace, key=key, progress=_tell)


@step("process_request", version=TASK_VERSIONS["process_request"], retried=True)
def process_request(
    request_id: str, workspace: Workspace, identity: FlowIdentity
) -> SynthesisReceipt:
    """Synthesize, register and record what was accepted, or wait for whoever does."""
    return finish_request(request_id, workspace, flow=identity, progress=_tell)


@flow(name="synthesize", version=FLOW_VERSIONS["synthesize"])
def synthesize(request: SynthesisRequest, generator: str = "", key: str = "") -> dict[str, Any]:
    """Synthesize a classifier, register it and record it; returns the receipt.

    The same request gives the same version. ``key``: your own idempotency key; none, and the
    content of the request is its key.
    """
    settings = load_settings()
    if generator:
        settings = override_settings(settings, generator=generator)
    with open_workspace(settings) as workspace:
        sent = submit_request(request, workspace, key or None)
        receipt = process_request(sent.request_id, workspace, _identity())
    _show(receipt)
    return {**receipt.to_dict(), "warnings": list(sent.warnings)}


def _show(receipt: SynthesisReceipt) -> None:
    """Let Prefect's UI and API show the receipt; its own warnings name no file."""
    facts = receipt.to_dict()
    for warning in receipt.warnings:
        get_run_logger().warning(warning)
    create_table_artifact([facts], key=RECEIPT_ARTIFACT, description="The registered classifier")


def _tell(step_name: str) -> None:
    get_run_logger().info(step_name)


def _identity() -> FlowIdentity:
    return FlowIdentity(
        name="synthesize",
        version=FLOW_VERSIONS["synthesize"],
        run_id=str(flow_run.get_id() or ""),
        steps=STEP_VERSIONS,
    )


def main() -> int:
    """Run the flow for a shell."""
    parser = make_parser(
        "synthesize",
        "Synthesize a classifier from a task file, or from a folder with a folder a class.",
        "python -m flows.synthesize task.yaml --requester 'Dr. Ada' --purpose study",
    )
    parser.add_argument("task_path", type=Path, metavar="TASK.yaml|FOLDER", help="the request")
    parser.add_argument("--requester", help="who asks; default: as the file says, or the login")
    parser.add_argument("--purpose", help="why; default: as the file says")
    parser.add_argument("--task", help="title; default: as the file says, or the folder's name")
    parser.add_argument("--generator", default="", help="name or path; none: SGPS_GENERATOR")
    options = parser.parse_args()

    def run() -> dict[str, Any]:
        request = read_synthesis_request(
            options.task_path,
            load_settings(),
            task=options.task,
            requester=options.requester,
            purpose=options.purpose,
        )
        return synthesize(request, options.generator)

    return run_script(run)


if __name__ == "__main__":
    sys.exit(main())
