"""Flow: the scheduled chain from data to a generator, promoted where it is measurably better."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.build_episodes import index_episodes
from flows.evaluate import benchmark_generator
from flows.meta_train import train_generator
from flows.running import run_script
from flows.scripts import add_params_argument, make_parser
from flows.steps import step
from flows.validate_data import ingest_dataset, require_valid_datasets
from flows.versions import FLOW_VERSIONS, TASK_VERSIONS
from sgps.service.benchmarking import INCUMBENT, EpisodeRequest, EvaluationRequest
from sgps.service.datasets import SourceRequest
from sgps.service.parameters import parse_request, read_section
from sgps.service.promotion import decide_and_promote, find_incumbent
from sgps.service.training import (
    TrainingRequest,
    in_folder_of_its_own,
    restrict_to_licences,
)
from sgps.settings import load_settings


class RetrainRequest(BaseModel):
    """A whole turn: which data, which training, and on which episodes the outcome is judged.

    The judging episodes come from images that the training never learns from, of a role such as
    ``novel_val``; ``novel_test`` stays for the final figures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: TrainingRequest
    episodes: EpisodeRequest
    sources: tuple[SourceRequest, ...] = Field(
        default=(), description="Ingested first where the root has no dataset of that name."
    )
    report: Path = Field(
        default=Path("reports/validation.html"), description="HTML file of the validation report."
    )
    evaluation: Path = Field(
        default=Path("reports/promotion.json"), description="JSON file of the comparison."
    )

    @model_validator(mode="after")
    def _judge_on_no_final_figures(self) -> RetrainRequest:
        if self.episodes.role == "novel_test":
            raise ValueError(
                "episodes.role is novel_test, which no choice may look at, and a promotion is one;"
                " give a role that training does not learn from, such as novel_val"
            )
        return self


@step("decide_promotion", version=TASK_VERSIONS["decide_promotion"])
def decide_promotion(
    candidate: Path,
    paired: dict[str, float] | None,
    provenance: dict[str, Any],
    compared_sha256: str | None = None,
) -> dict[str, Any]:
    """Promote the candidate or keep what is in use, and record why."""
    return asdict(
        decide_and_promote(
            candidate, paired, load_settings(), provenance, compared_sha256=compared_sha256
        )
    )


@flow(name="retrain", version=FLOW_VERSIONS["retrain"])
def retrain(request: RetrainRequest) -> dict[str, Any]:
    """Validate, draw episodes, train, compare with the generator in use, decide."""
    for source in request.sources:
        if not (request.training.root / source.name).exists():
            ingest_dataset(source, request.training.root)
    training, notices = restrict_to_licences(request.training)
    for notice in notices:
        get_run_logger().warning(notice)
    digests = require_valid_datasets(training.root, training.datasets, request.report)
    index_episodes(request.episodes)
    trained = train_generator(in_folder_of_its_own(training))
    report = _compare(request, trained["checkpoint"])
    decision = decide_promotion(
        Path(trained["checkpoint"]),
        report["paired"].get(INCUMBENT),
        {
            "flow": "retrain",
            "flow_version": FLOW_VERSIONS["retrain"],
            "flow_run_id": str(flow_run.get_id() or ""),
            "tasks": dict(TASK_VERSIONS),
            "datasets": digests,
            "evaluation": str(request.evaluation),
        },
        _compared_with(report),
    )
    return {"training": trained, "decision": decision, "evaluation": str(request.evaluation)}


def _compared_with(report: dict[str, Any]) -> str:
    """Digest of the generator that a report compares with; "" where there was none."""
    return str(report["settings"]["methods"].get(INCUMBENT, {}).get("generator_sha256", ""))


def _compare(request: RetrainRequest, checkpoint: str) -> dict[str, Any]:
    return benchmark_generator(
        EvaluationRequest(
            index=request.episodes.index,
            report=request.evaluation,
            generator=checkpoint,
            incumbent=find_incumbent(load_settings()),
            root=request.episodes.root,
            descriptions=request.training.descriptions,
        )
    )


def main() -> int:
    """Run the flow for a shell."""
    parser = make_parser(
        "retrain",
        "Validate, train and evaluate; promote the generator where it is measurably better.",
        "python -m flows.retrain --params params.yaml",
    )
    add_params_argument(parser, "retrain")
    options = parser.parse_args()
    return run_script(
        lambda: retrain(parse_request(RetrainRequest, read_section(options.params, "retrain")))
    )


if __name__ == "__main__":
    sys.exit(main())
