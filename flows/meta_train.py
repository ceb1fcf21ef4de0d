"""Flow: validated datasets -> generator checkpoint, on a GPU where there is one."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from pydantic import BaseModel, ConfigDict, Field

from flows.running import run_script
from flows.scripts import add_dataset_arguments, make_parser
from flows.steps import step
from flows.validate_data import require_valid_datasets
from flows.versions import FLOW_VERSIONS, TASK_VERSIONS
from sgps.service.training import (
    TrainingRequest,
    read_training_config,
    restrict_to_licences,
)
from sgps.service.training import train_generator as train
from sgps.settings import load_settings


class MetaTrainingRequest(BaseModel):
    """A training, and where the report on its datasets goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: TrainingRequest
    report: Path = Field(
        default=Path("reports/validation.html"), description="HTML file of the report."
    )
    rules: Path | None = Field(
        default=None, description="YAML with rules; default: data/validation.yaml."
    )


@step("train_generator", version=TASK_VERSIONS["train_generator"], retried=True)
def train_generator(training: TrainingRequest) -> dict[str, Any]:
    """Meta-train, or go on with the run in the folder (its state is the cache)."""
    return asdict(train(training, load_settings()))


@flow(name="meta_train", version=FLOW_VERSIONS["meta_train"])
def meta_train(request: MetaTrainingRequest) -> dict[str, Any]:
    """Check the datasets, then train on them."""
    training, notices = restrict_to_licences(request.training)
    for notice in notices:
        get_run_logger().warning(notice)
    require_valid_datasets(training.root, training.datasets, request.report, request.rules)
    return train_generator(training)


def main() -> int:
    """Run the flow for a shell."""
    parser = make_parser(
        "meta_train",
        "Meta-train a generator, or go on with the run that the folder holds.",
        "python -m flows.meta_train --config params.yaml --out runs/first",
    )
    add_dataset_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--config", type=Path, help="YAML with settings under the key 'train'")
    parser.add_argument("--descriptions", type=Path, help="folder of class descriptions")
    parser.add_argument("--episodes", type=int, help="episodes in all")
    parser.add_argument("--seed", type=int, help="seed of all randomness")
    parser.add_argument(
        "--licences",
        choices=("all", "open"),
        default="all",
        help="open: train on openly licensed datasets only",
    )
    parser.add_argument(
        "--licence-table", type=Path, help="YAML with licences; default: data/licences.yaml"
    )
    parser.add_argument("--name", default="candidate", help="name of the generator")
    options = parser.parse_args()

    def run() -> dict[str, Any]:
        overrides = {"episodes": options.episodes, "seed": options.seed}
        training = TrainingRequest(
            folder=options.out,
            root=options.root,
            datasets=tuple(options.datasets),
            descriptions=options.descriptions,
            name=options.name,
            licences=options.licences,
            licence_table=options.licence_table,
            config=read_training_config(options.config, overrides),
        )
        return meta_train(
            MetaTrainingRequest(training=training, report=options.report, rules=options.rules)
        )

    return run_script(run)


if __name__ == "__main__":
    sys.exit(main())
