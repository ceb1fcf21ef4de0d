"""Whether datasets may be used: a Great Expectations suite decides over all of them together."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from sgps.datasets._checks import Check, ValidationRules, column_checks, row_checks
from sgps.datasets._validation_table import ValidationTable, build_table, combine_frames
from sgps.datasets.storage import StoredDataset
from sgps.errors import InputError

__all__ = [
    "ClassCount",
    "Finding",
    "ValidationResult",
    "ValidationRules",
    "validate_datasets",
]

MAX_ROWS = 50

DEFAULT_RULES = ValidationRules()


@dataclass(frozen=True)
class Finding:
    """What one check found.

    check: its name, for machines. observed: what was seen, in words. rows: names of at most 50
    images that fail, each with its reason and the image it clashes with ("" where none) at the
    same place of ``reasons`` and ``partners``; where several datasets are looked at together a
    name begins with the dataset's. count: images that fail, all of them.
    severity: "refuse", or "warn" where a failure refuses nothing.
    """

    check: str
    passed: bool
    observed: str
    rows: tuple[str, ...]
    expected: str
    title: str = ""
    reasons: tuple[str, ...] = ()
    partners: tuple[str, ...] = ()
    count: int = 0
    severity: str = "refuse"

    @property
    def refuses(self) -> bool:
        """Whether this finding alone refuses the datasets."""
        return not self.passed and self.severity == "refuse"


@dataclass(frozen=True)
class ClassCount:
    """Size of one class in one role of one dataset."""

    dataset: str
    role: str
    label: str
    images: int
    groups: int


@dataclass(frozen=True)
class ValidationResult:
    """The verdict over ``datasets`` and everything it rests on.

    passed: no finding refuses. digests: dataset name to digest.
    """

    passed: bool
    findings: tuple[Finding, ...]
    datasets: tuple[str, ...]
    digests: dict[str, str]
    classes: tuple[ClassCount, ...] = ()

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """Findings that refuse, in the order of the checks."""
        return tuple(finding for finding in self.findings if finding.refuses)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that failed without refusing."""
        return tuple(
            finding for finding in self.findings if not finding.passed and not finding.refuses
        )

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-able values."""
        return asdict(self)


def validate_datasets(
    datasets: Sequence[StoredDataset], rules: ValidationRules = DEFAULT_RULES
) -> ValidationResult:
    """Run every check over the images of ``datasets`` together.

    Each image is decoded once; leaks are looked for within and across the datasets.

    Raises
    ------
    InputError: no dataset, or two of the same name.
    """
    names = [dataset.name for dataset in datasets]
    if not names or len(set(names)) != len(names):
        raise InputError(
            f"datasets to validate: {', '.join(names) or 'none'}",
            expected="at least one dataset, each once",
        )
    frame = combine_frames(datasets)
    findings = _run(column_checks(), ValidationTable(frame, ()), rules)
    classes: tuple[ClassCount, ...] = ()
    if all(finding.passed for finding in findings):
        table = build_table(
            datasets,
            frame,
            usual_brightness=rules.usual_brightness,
            max_hash_distance=rules.max_hash_distance,
            min_detail_similarity=rules.min_detail_similarity,
            min_groups_per_class=rules.min_groups_per_class,
            known=rules.known_near_duplicates,
        )
        findings += _run(row_checks(rules), table, rules)
        classes = _count_classes(table.frame)
    return ValidationResult(
        passed=not any(finding.refuses for finding in findings),
        findings=tuple(findings),
        datasets=tuple(names),
        digests={dataset.name: dataset.digest for dataset in datasets},
        classes=classes,
    )


def _run(checks: Sequence[Check], table: ValidationTable, rules: ValidationRules) -> list[Finding]:
    outcomes = _run_suite(checks, table.frame)
    return [
        _finding(check, outcomes[check.name], table, check.name in rules.warn_only)
        for check in checks
    ]


def _run_suite(checks: Sequence[Check], frame: pd.DataFrame) -> dict[str, Any]:
    """Results of Great Expectations by the name of the check."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx  # noqa: PLC0415  (takes seconds; only validation needs it)
        from great_expectations.data_context.types.base import (  # noqa: PLC0415
            ProgressBarsConfig,
        )

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        batch = (
            context.data_sources.add_pandas("datasets")
            .add_dataframe_asset("images")
            .add_batch_definition_whole_dataframe("all")
            .get_batch({"dataframe": frame})
        )
        suite = gx.ExpectationSuite(
            name="sgps-datasets",
            expectations=[
                getattr(gx.expectations, check.kind)(**check.arguments, meta={"check": check.name})
                for check in checks
            ],
        )
        results = batch.validate(
            suite,
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": ["row"],
                "include_unexpected_rows": False,
            },
        ).results
    outcomes: Sequence[Any] = results
    return {outcome.expectation_config.meta["check"]: outcome for outcome in outcomes}


def _finding(check: Check, outcome: Any, table: ValidationTable, warn_only: bool) -> Finding:
    found = outcome.result.get("unexpected_index_list") or []
    rows = sorted({int(place["row"]) for place in found})
    shown = rows[:MAX_ROWS]
    reasons = [check.explain(table, row) for row in shown]
    return Finding(
        check=check.name,
        passed=bool(outcome.success),
        observed=_observed(outcome, rows, len(table.frame), check.kind == "ExpectColumnToExist"),
        rows=tuple(table.names(shown)),
        expected=check.expected,
        title=check.title,
        reasons=tuple(reason.words for reason in reasons),
        partners=tuple(reason.partner for reason in reasons),
        count=len(rows),
        severity="warn" if warn_only else "refuse",
    )


def _observed(outcome: Any, rows: Sequence[int], images: int, column: bool) -> str:
    if outcome.success:
        return "there" if column else f"all {images:,} images"
    if not rows:
        return "could not be looked at" if _raised(outcome.exception_info) else "not there"
    return f"{len(rows):,} of {images:,} images are not as expected"


def _raised(info: Any) -> bool:
    """Whether an expectation broke off; Great Expectations nests this by metric, or not."""
    return bool(info) and info.get("raised_exception", True) is not False


def _count_classes(frame: pd.DataFrame) -> tuple[ClassCount, ...]:
    counted = frame.groupby(["dataset", "role", "label"])["group"].agg(["size", "nunique"])
    return tuple(
        ClassCount(str(dataset), str(role), str(label), int(images), int(groups))
        for (dataset, role, label), images, groups in counted.itertuples()
    )
