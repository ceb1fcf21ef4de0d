"""Deployments: synthesis on demand, retraining on a schedule.

``python -m flows.deployments`` serves both until it is stopped, or only the first with
``--on-demand-only``; ``PREFECT_API_URL`` names the Prefect server, and
``PREFECT_RUNNER_POLL_FREQUENCY=1`` makes answers quick.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import serve

from flows.retrain import RetrainRequest, retrain
from flows.running import require_server
from flows.scripts import add_params_argument, make_parser
from flows.synthesize import synthesize
from sgps.errors import SgpsError
from sgps.service.parameters import parse_request, read_section

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

WEEKLY = "0 3 * * 0"
PARAMETERS = "retrain"


def build_deployments(
    retraining: RetrainRequest | None, cron: str = WEEKLY
) -> list[RunnerDeployment]:
    """Synthesis on demand and, unless it is None, ``retraining`` whenever ``cron`` says, in UTC."""
    on_demand: Any = synthesize.to_deployment(
        name="on-demand",
        description="Synthesize and register a classifier for one request.",
        tags=["sgps"],
    )
    if retraining is None:
        return [on_demand]
    scheduled: Any = retrain.to_deployment(
        name="scheduled",
        description="Validate, train, evaluate; promote only what is measurably better.",
        tags=["sgps"],
        cron=cron,
        concurrency_limit=1,
        parameters={"request": retraining.model_dump(mode="json")},
    )
    return [on_demand, scheduled]


def main() -> int:
    """Serve the deployments until interrupted."""
    parser = make_parser(
        "deployments",
        "Serve the deployments: synthesize on demand, retrain on a schedule.",
        "PREFECT_API_URL=http://127.0.0.1:4200/api python -m flows.deployments",
    )
    add_params_argument(parser, PARAMETERS)
    parser.add_argument("--cron", default=WEEKLY, help="when to retrain (UTC)")
    parser.add_argument(
        "--on-demand-only", action="store_true", help="do not retrain; --params is not read"
    )
    options = parser.parse_args()
    try:
        require_server()
        retraining = None if options.on_demand_only else _read_retraining(Path(options.params))
        serve(*build_deployments(retraining, options.cron))
    except SgpsError as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return error.exit_code
    return 0


def _read_retraining(path: Path) -> RetrainRequest:
    return parse_request(RetrainRequest, read_section(path, PARAMETERS))


if __name__ == "__main__":
    sys.exit(main())
