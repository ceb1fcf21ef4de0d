"""``sgps ingest`` and ``sgps validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgps.cli.output import format_pairs, format_rows, progress, write_json, write_result
from sgps.cli.registration import DEFAULT_ROOT, JsonFlag, RootOption, RulesOption, register
from sgps.errors import InputError

if TYPE_CHECKING:
    from sgps.datasets.expectations import Finding


def add_commands(app: typer.Typer) -> None:
    """Add ``ingest`` and ``validate``."""
    register(
        app,
        "ingest",
        ingest,
        example="sgps ingest moles --source folder --location photos/moles\n"
        "sgps ingest phantom --source phantom --option images_per_class=30",
    )
    register(
        app,
        "validate",
        validate,
        example="sgps validate moles --report reports/validation.html\nsgps validate --all",
    )


def ingest(
    name: Annotated[str, typer.Argument(help="Name of the dataset to make.")],
    source: Annotated[
        str,
        typer.Option("--source", help="Kind: folder, manifest, dicom, medmnist, isic or phantom."),
    ],
    location: Annotated[
        str, typer.Option("--location", help="Folder, manifest or name, as the kind needs.")
    ] = "",
    root: RootOption = DEFAULT_ROOT,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="KEY=VALUE for the source, repeatable; value is YAML."),
    ] = None,
    params: Annotated[
        Path | None, typer.Option(help="YAML with options for the source under ingest.options.")
    ] = None,
    max_side: Annotated[int, typer.Option(min=16, help="Longer sides are shrunk to this.")] = 512,
    overwrite: Annotated[bool, typer.Option(help="Replace the dataset if it exists.")] = False,
    json: JsonFlag = False,
) -> None:
    """Store the images of a source as a dataset.

    Each image is decoded, stripped of all metadata, and hashed.
    """
    from sgps.service.datasets import SourceRequest, ingest_source
    from sgps.service.parameters import parse_request
    from sgps.settings import load_settings

    values = {
        "name": name,
        "kind": source,
        "location": location,
        "options": {**_options_of_file(params), **_options_of_pairs(option or [])},
        "max_side": max_side,
    }
    request = parse_request(SourceRequest, values)
    settings = load_settings()
    with progress(f"ingesting {name}") as advance:
        stored = ingest_source(request, root, settings, overwrite=overwrite, progress=advance)
    facts = {
        "name": stored.name,
        "folder": str(stored.folder),
        "digest": stored.digest,
        "images": len(stored.frame),
        "classes": int(stored.frame["label"].nunique()),
    }
    write_json(facts) if json else write_result(format_pairs(facts))


def validate(
    names: Annotated[list[str] | None, typer.Argument(help="Datasets to check.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every dataset in the root.")] = False,
    root: RootOption = DEFAULT_ROOT,
    report: Annotated[Path, typer.Option(help="HTML file for the report.")] = Path(
        "reports/validation.html"
    ),
    rules: RulesOption = None,
    json: JsonFlag = False,
) -> None:
    """Check datasets and write a report.

    Exit code 2 when one is refused; the report says which rows and why.
    """
    from sgps.service.datasets import read_rules, report_validation, validate_stored

    if every == bool(names):
        raise InputError("datasets: give either names or --all, and not both")
    result = validate_stored(root, names or (), read_rules(rules))
    if json:
        write_json({**result.to_dict(), "report": str(report)})
    else:
        rows = [[finding.check, _outcome(finding), finding.observed] for finding in result.findings]
        write_result(format_rows(["check", "outcome", "observed"], rows))
        write_result(f"report: {report}")
    report_validation(result, root, report)


def _outcome(finding: Finding) -> str:
    if finding.passed:
        return "passed"
    return "REFUSED" if finding.refuses else "warning"


def _options_of_file(path: Path | None) -> dict[str, Any]:
    from sgps.service.parameters import read_section

    return dict(read_section(path, "ingest").get("options") or {}) if path else {}


def _options_of_pairs(pairs: list[str]) -> dict[str, Any]:
    import yaml

    options: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.isidentifier():
            raise InputError(f"--option {pair!r}", expected="KEY=VALUE")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--option {pair!r} is not YAML", expected="KEY=VALUE") from error
    return options
