"""Bringing datasets in, opening them, and refusing the bad ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sgps.datasets import ImageLimits, Source, StoredDataset, find_datasets, ingest, open_source
from sgps.datasets.expectations import ValidationResult, ValidationRules, validate_datasets
from sgps.datasets.report import require_valid, write_validation_report
from sgps.errors import InputError, UnknownNameError
from sgps.service.parameters import parse_request, read_mapping
from sgps.settings import Settings

DEFAULT_RULES_FILE = Path("data/validation.yaml")
_DOWNLOADED = ("medmnist", "isic")

SourceKind = Literal["folder", "manifest", "dicom", "medmnist", "isic", "phantom"]


class SourceRequest(BaseModel):
    """One dataset to make, and where its images come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name of the dataset to make.")
    kind: SourceKind = Field(description="Kind of source.")
    location: str = Field(default="", description="Folder, manifest or name, as the kind needs.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the source.")
    max_side: int = Field(default=512, ge=16, description="Longer sides are shrunk to this.")


def ingest_source(
    request: SourceRequest,
    root: Path,
    settings: Settings,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> StoredDataset:
    """Store the images of a source as the dataset ``root / request.name``.

    Raises
    ------
    UserError: the source, one of its images or the store; nothing half-written is left.
    """
    limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    source = _open_source(request, settings)
    return ingest(
        source,
        root,
        limits=limits,
        max_side=request.max_side,
        overwrite=overwrite,
        progress=progress,
    )


def _open_source(request: SourceRequest, settings: Settings) -> Source:
    try:
        return _open_with_options(request, settings)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"options of the {request.kind} source: {error}",
            expected="options of the kind and form that the source takes",
            remedy="see docs/guides/ml-engineer.md",
        ) from error


def _open_with_options(request: SourceRequest, settings: Settings) -> Source:
    if request.kind == "phantom":
        return open_source(request.kind, request.name, **request.options)
    options: dict[str, Any] = {"name": request.name, **request.options}
    if request.kind in _DOWNLOADED:
        options.setdefault("root", settings.home_folder / "downloads" / request.kind)
        options.setdefault("allow_download", settings.allow_downloads)
    return open_source(request.kind, request.location, **options)


def open_datasets(root: Path, names: Sequence[str] = ()) -> list[StoredDataset]:
    """Open the named datasets under ``root``, in that order; all of them where none is named.

    Raises
    ------
    UnknownNameError: one of them, or any at all, is not there.
    IntegrityError: one of them is damaged.
    """
    for name in names:
        if Path(name).name != name:
            raise UnknownNameError(
                f"dataset {name!r}",
                expected="the name of a dataset, not a path",
                remedy="use --root",
            )
    if names:
        return [StoredDataset.open(root / name) for name in names]
    found = find_datasets(root)
    if not found:
        raise UnknownNameError(
            f"no dataset in {root}", expected="at least one", remedy="ingest one first"
        )
    return found


def read_rules(path: Path | None = None) -> ValidationRules:
    """Rules from a YAML file; without one from ``data/validation.yaml`` where that exists.

    Raises
    ------
    InputError: the file cannot be read, or has a rule that is unknown or of the wrong form.
    """
    if path is None and not DEFAULT_RULES_FILE.is_file():
        return ValidationRules()
    values = read_mapping(path or DEFAULT_RULES_FILE)
    known = {field.name for field in fields(ValidationRules)}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise InputError(
            f"{path or DEFAULT_RULES_FILE}: unknown rule {unknown[0]!r}",
            expected=f"rules among {', '.join(sorted(known))}",
        )
    return parse_request(ValidationRules, values)


def rules_to_dict(rules: ValidationRules) -> dict[str, Any]:
    """JSON-able values, the same for equal rules."""
    values = {field.name: getattr(rules, field.name) for field in fields(rules)}
    return {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in values.items()
    }


def rules_from_dict(values: dict[str, Any]) -> ValidationRules:
    """The inverse of :func:`rules_to_dict`."""
    return parse_request(ValidationRules, values)


def validate_stored(
    root: Path, names: Sequence[str] = (), rules: ValidationRules | None = None
) -> ValidationResult:
    """Check datasets together against the rules; all under ``root`` where none is named."""
    return validate_datasets(open_datasets(root, names), rules or read_rules())


def report_validation(result: ValidationResult, root: Path, report: Path) -> None:
    """Write the report, with thumbnails of failing rows, and let nothing refused pass.

    Raises
    ------
    DatasetRefusedError: the datasets did not pass; the report says which rows and why.
    StoreError: the report cannot be written.
    """
    datasets = open_datasets(root, result.datasets) if not result.passed else []
    write_validation_report(result, report, datasets=datasets)
    require_valid(result, report)


def validation_from_dict(values: Mapping[str, Any]) -> ValidationResult:
    """The result that ``ValidationResult.to_dict`` turned into JSON-able values."""
    return TypeAdapter(ValidationResult).validate_python(values)
