"""The verdict over datasets as one HTML file that needs nothing beside it, and as an error."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from sgps.datasets.expectations import ClassCount, Finding, ValidationResult
from sgps.datasets.preprocessing import resize_and_crop
from sgps.datasets.storage import StoredDataset
from sgps.errors import DatasetRefusedError
from sgps.files import write_whole

_TEMPLATE = "validation_report.html.j2"
_THUMBNAIL_SIDE = 72
_MAX_THUMBNAILS = 200


def write_validation_report(
    result: ValidationResult,
    path: Path,
    *,
    datasets: Sequence[StoredDataset] = (),
    title: str = "Dataset validation",
) -> None:
    """Write ``result`` as a self-contained HTML page to ``path``; folders are made as needed.

    The page loads nothing from anywhere. datasets: where the images of failing rows are taken
    from, shown at 72 pixels; without them the page has words alone. A page of before is replaced
    whole or stays as it is.

    Raises
    ------
    StoreError: the page cannot be written.
    """
    page = _render(result, _collect_thumbnails(result, datasets), title)
    write_whole(path, page)


def require_valid(result: ValidationResult, report: Path) -> None:
    """Let nothing downstream run on refused datasets.

    Raises
    ------
    DatasetRefusedError: a check refuses; the first is named, ``report`` holds them all.
    """
    if result.passed:
        return
    refusals = result.refusals
    first = refusals[0]
    example = f", the first {first.rows[0]}" if first.rows else ""
    others = f"; also by {', '.join(each.check for each in refusals[1:])}" if refusals[1:] else ""
    raise DatasetRefusedError(
        f"{', '.join(result.datasets)}: refused by the check {first.check} "
        f"({first.observed}{example}){others}",
        expected=first.expected,
        report=report,
    )


def _render(result: ValidationResult, thumbnails: dict[str, str], title: str) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader("sgps.datasets", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE).render(
        result=result,
        title=title,
        passed=[finding for finding in result.findings if finding.passed],
        roles=sorted({count.role for count in result.classes}),
        class_table=_class_table(result.classes),
        thumbnails=thumbnails,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _class_table(counts: Sequence[ClassCount]) -> dict[str, dict[str, dict[str, ClassCount]]]:
    """Counts by dataset, class and role."""
    table: dict[str, dict[str, dict[str, ClassCount]]] = {}
    for count in counts:
        by_class = table.setdefault(count.dataset, {}).setdefault(count.label, {})
        by_class[count.role] = count
    return table


def _collect_thumbnails(
    result: ValidationResult, datasets: Sequence[StoredDataset]
) -> dict[str, str]:
    """Data addresses of the images that failing findings name, by display name."""
    wanted = _names_shown([finding for finding in result.findings if not finding.passed])
    several = len(result.datasets) > 1
    thumbnails: dict[str, str] = {}
    for dataset in datasets:
        prefix = f"{dataset.name}/" if several else ""
        for index, file in enumerate(dataset.frame["file"]):
            name = f"{prefix}{file}"
            if name in wanted:
                thumbnails[name] = _data_address(dataset, index)
    return thumbnails


def _names_shown(findings: Sequence[Finding]) -> set[str]:
    names: dict[str, None] = {}
    for finding in findings:
        for row, partner in zip(finding.rows, finding.partners, strict=True):
            names.update({row: None, partner: None})
    return set([name for name in names if name][:_MAX_THUMBNAILS])


def _data_address(dataset: StoredDataset, index: int) -> str:
    small = resize_and_crop(dataset.pixels(index), _THUMBNAIL_SIDE)
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
