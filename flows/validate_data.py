"""Flow: sources -> stored datasets that passed validation, or a refusal with a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from flows.running import run_script
from flows.scripts import add_dataset_arguments, make_parser
from flows.steps import step
from flows.versions import FLOW_VERSIONS, TASK_VERSIONS
from sgps.service.datasets import (
    SourceRequest,
    ingest_source,
    open_datasets,
    read_rules,
    report_validation,
    rules_from_dict,
    rules_to_dict,
    validate_stored,
    validation_from_dict,
)
from sgps.settings import load_settings


class ValidationRequest(BaseModel):
    """Datasets to validate, and sources to make them from where they are not stored yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path = Field(default=Path("data/shards"), description="Folder of the stored datasets.")
    datasets: tuple[str, ...] = Field(default=(), description="Datasets; none: all in the root.")
    sources: tuple[SourceRequest, ...] = Field(
        default=(), description="Ingested first where the root has no dataset of that name."
    )
    report: Path = Field(
        default=Path("reports/validation.html"), description="HTML file of the report."
    )
    rules: Path | None = Field(
        default=None, description="YAML with rules; default: data/validation.yaml."
    )


@step("ingest_dataset", version=TASK_VERSIONS["ingest_dataset"], retried=True)
def ingest_dataset(source: SourceRequest, root: Path) -> str:
    """Store the images of a source; return the dataset's digest."""
    return ingest_source(source, root, load_settings()).digest


@step("read_digests", version=TASK_VERSIONS["read_digests"])
def read_digests(root: Path, datasets: tuple[str, ...]) -> dict[str, str]:
    """Digest of each dataset, all of them in the root where none is named."""
    return {dataset.name: dataset.digest for dataset in open_datasets(root, datasets)}


@step("check_datasets", version=TASK_VERSIONS["check_datasets"], cached=True)
def check_datasets(root: Path, digests: dict[str, str], rules: dict[str, Any]) -> dict[str, Any]:
    """Run the expectations over the datasets with these digests."""
    return validate_stored(root, tuple(digests), rules_from_dict(rules)).to_dict()


@step("write_report", version=TASK_VERSIONS["write_report"])
def write_report(result: dict[str, Any], root: Path, report: Path) -> None:
    """Write the report; raise where the datasets are refused."""
    report_validation(validation_from_dict(result), root, report)


def require_valid_datasets(
    root: Path, datasets: tuple[str, ...], report: Path, rules: Path | None = None
) -> dict[str, str]:
    """The tasks that every flow on datasets begins with; returns name to digest.

    Raises
    ------
    DatasetRefusedError: the datasets did not pass; what comes after does not run.
    """
    digests = read_digests(root, datasets)
    write_report(check_datasets(root, digests, rules_to_dict(read_rules(rules))), root, report)
    return digests


@flow(name="validate_data", version=FLOW_VERSIONS["validate_data"])
def validate_data(request: ValidationRequest) -> dict[str, Any]:
    """Ingest what is missing, check every dataset, write the report."""
    for source in request.sources:
        if not (request.root / source.name).exists():
            ingest_dataset(source, request.root)
    digests = require_valid_datasets(request.root, request.datasets, request.report, request.rules)
    return {"passed": True, "datasets": digests, "report": str(request.report)}


def main() -> int:
    """Run the flow for a shell."""
    parser = make_parser(
        "validate_data",
        "Check stored datasets; exit code 2 where they are refused.",
        "python -m flows.validate_data phantom --report reports/validation.html",
    )
    add_dataset_arguments(parser)
    options = parser.parse_args()
    request = ValidationRequest(
        root=options.root,
        datasets=tuple(options.datasets),
        report=options.report,
        rules=options.rules,
    )
    return run_script(validate_data, request)


if __name__ == "__main__":
    sys.exit(main())
