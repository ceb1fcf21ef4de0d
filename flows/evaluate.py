"""Flow: generator and episode index -> benchmark report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from prefect import flow

from flows.running import run_script
from flows.scripts import make_parser
from flows.steps import step
from flows.versions import FLOW_VERSIONS, TASK_VERSIONS
from sgps.evaluation.plots import plot_accuracy, plot_reliability
from sgps.service.benchmarking import EvaluationRequest, evaluate_generator
from sgps.settings import load_settings


@step("benchmark_generator", version=TASK_VERSIONS["benchmark_generator"])
def benchmark_generator(request: EvaluationRequest) -> dict[str, Any]:
    """Score the generator and what it is compared with; write the report and its pictures."""
    report = evaluate_generator(request, load_settings())
    plot_accuracy(report, request.report.with_suffix(".png"))
    plot_reliability(report, request.report.with_name(request.report.stem + "_reliability.png"))
    return report.to_dict()


@flow(name="evaluate", version=FLOW_VERSIONS["evaluate"])
def evaluate(request: EvaluationRequest) -> dict[str, Any]:
    """Score a generator on the episodes of an index."""
    return benchmark_generator(request)


def main() -> int:
    """Run the flow for a shell."""
    parser = make_parser(
        "evaluate",
        "Score a generator and baselines on the episodes of an index.",
        "python -m flows.evaluate --index reports/episodes.json --generator runs/first "
        "--out reports/benchmark.json",
    )
    parser.add_argument("--index", type=Path, required=True, help="episode index")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the report")
    parser.add_argument("--generator", default="", help="name or path; none: SGPS_GENERATOR")
    parser.add_argument("--incumbent", default="", help="a second generator to compare with")
    parser.add_argument("--root", type=Path, default=Path("data/shards"), help="datasets' folder")
    parser.add_argument("--descriptions", type=Path, help="folder of class descriptions")
    options = parser.parse_args()
    request = EvaluationRequest(
        index=options.index,
        report=options.out,
        generator=options.generator,
        incumbent=options.incumbent,
        root=options.root,
        descriptions=options.descriptions,
    )
    return run_script(lambda: evaluate(request))


if __name__ == "__main__":
    sys.exit(main())
