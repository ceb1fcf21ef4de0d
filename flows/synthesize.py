"""Flow: request -> registered, recorded classifier, on demand."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from flows.running import run_script
from flows.scripts import make_parser
from flows.steps import step
from flows.versions import FLOW_VERSIONS
from sgps.registry import ModelPackage, RegisteredVersion
from sgps.service import synthesis
from sgps.service.parameters import read_synthesis_request
from sgps.service.provenance import FlowIdentity
from sgps.service.requests import SynthesisRequest
from sgps.service.support import DecodedSupport
from sgps.service.synthesis import CheckedRequest, Synthesized
from sgps.service.versions import STEP_VERSIONS
from sgps.service.workspace import Workspace, open_workspace
from sgps.settings import Settings, load_settings, override_settings


@step("check_request", version=STEP_VERSIONS["check_request"])
def check_request(request: SynthesisRequest, settings: Settings) -> CheckedRequest:
    """Check what depends on settings and files."""
    return synthesis.check_request(request, settings)


@step("check_stores", version=STEP_VERSIONS["register_model"], retried=True)
def check_stores(workspace: Workspace) -> None:
    """See that registry and ledger can be written before anything is made."""
    workspace.check_writable()


@step("decode_support", version=STEP_VERSIONS["decode_support"])
def decode_support(checked: CheckedRequest, settings: Settings) -> DecodedSupport:
    """Decode the support images."""
    return synthesis.decode_support(checked, settings)


@step("synthesize_weights", version=STEP_VERSIONS["synthesize_weights"])
def synthesize_weights(
    checked: CheckedRequest, support: DecodedSupport, settings: Settings
) -> Synthesized:
    """Load the generator and synthesize the classifier."""
    return synthesis.synthesize_weights(checked, support, synthesis.load_synthesizer(settings))


@step("assemble_record", version=STEP_VERSIONS["assemble_record"])
def assemble_record(
    checked: CheckedRequest,
    support: DecodedSupport,
    made: Synthesized,
    seconds: dict[str, float],
    identity: FlowIdentity,
) -> ModelPackage:
    """Join classifier, support, texts and audit record."""
    return synthesis.assemble_record(checked, support, made, seconds=seconds, flow=identity)


@step("register_model", version=STEP_VERSIONS["register_model"], retried=True)
def register_model(package: ModelPackage, workspace: Workspace) -> RegisteredVersion:
    """Register the next version of the task's model."""
    return synthesis.register_model(package, workspace.registry)


@step("record_in_ledger", version=STEP_VERSIONS["record_in_ledger"])
def record_in_ledger(
    package: ModelPackage, registered: RegisteredVersion, workspace: Workspace
) -> None:
    """Append the act to the ledger; where that fails, the version is taken back (no retry)."""
    synthesis.record_in_ledger(package, registered, workspace.ledger, workspace.registry)


@flow(name="synthesize", version=FLOW_VERSIONS["synthesize"])
def synthesize(request: SynthesisRequest, generator: str = "") -> dict[str, Any]:
    """Check, decode, synthesize, register, record; returns the receipt."""
    started = time.perf_counter()
    settings = load_settings()
    if generator:
        settings = override_settings(settings, generator=generator)
    checked = check_request(request, settings)
    with open_workspace(settings) as workspace:
        check_stores(workspace)
        support = decode_support(checked, settings)
        made = synthesize_weights(checked, support, settings)
        seconds = {"until_synthesized": time.perf_counter() - started}
        package = assemble_record(checked, support, made, seconds, _identity())
        registered = register_model(package, workspace)
        record_in_ledger(package, registered, workspace)
    return {
        "request_id": checked.request_id,
        **asdict(registered),
        "weights_sha256": made.classifier.weights_sha256,
        "seconds": round(time.perf_counter() - started, 6),
        "warnings": list(support.warnings),
    }


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
