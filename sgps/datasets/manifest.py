"""Tables of images: one row a file, read from CSV or Parquet and checked row by row."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sgps.datasets.records import ROLES
from sgps.errors import InputError, ManifestError

REQUIRED_COLUMNS = ("file", "label", "group", "role")
OPTIONAL_COLUMNS = ("sex", "age", "site", "text", "extra")

_MAX_BYTES = 200_000_000
_MAX_UNPACKED_BYTES = 1_000_000_000
_MAX_TEXT = 20_000
_MAX_NAME = 1_000
_MISSING = frozenset({"", "nan", "NaN", "<NA>"})
_MAX_AGE = 130.0

Row = tuple[int, Sequence[str]]


def read_manifest(path: Path) -> pd.DataFrame:
    """Read and check a manifest (``.csv`` in UTF-8, or ``.parquet``).

    Returns one row an image with the columns ``REQUIRED_COLUMNS + OPTIONAL_COLUMNS``, all strings
    ("" where there is no value) but ``age``, a float in years (NaN where there is none). Further
    columns of the file are left out. Paths in ``file`` are not yet resolved.

    Raises
    ------
    ManifestError: the file or a column is missing, or a row is wrong; rows are named as a
        spreadsheet counts them, the header of a CSV being row 1.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise ManifestError(f"{path}: a manifest of type {suffix!r}", expected=".csv or .parquet")
    _check_file(path)
    header, rows = _open_csv(path) if suffix == ".csv" else _open_parquet(path)
    places = _find_columns(path, header)
    table = _collect(path, rows, len(header), places)
    if not table["file"]:
        raise ManifestError(f"{path}: no rows", expected="a row for each image")
    ages = table.pop("age")
    frame = pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in table.items()})
    frame["age"] = pd.Series(ages, dtype="float64")
    return frame[[*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS]]


def resolve_image_path(folder: Path, file: str) -> Path:
    """The path that a manifest in ``folder`` means by ``file``.

    An absolute path is taken as it is; a relative one may not leave ``folder``, neither by ``..``
    nor through a symbolic link. Whether the file exists is not looked at.

    Raises
    ------
    InputError: ``file`` is empty, holds control characters or leaves ``folder``.
    """
    if not file or not file.isprintable():
        raise InputError(f"file name {file!r}", expected="a path of printable characters")
    if Path(file).is_absolute():
        return Path(file)
    try:
        path = (folder / file).resolve()
        inside = path.is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:
        raise InputError(f"file {file}: cannot be resolved ({error})") from error
    if not inside:
        raise InputError(
            f"file {file} lies outside {folder}",
            expected="a path inside the folder, or an absolute path",
            remedy="correct the path",
        )
    return path


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror})",
            expected="a manifest, .csv or .parquet",
            remedy="correct the path",
        ) from error
    if not path.is_file():
        raise ManifestError(f"{path}: not a file", expected="a manifest, .csv or .parquet")
    if size > _MAX_BYTES:
        raise ManifestError(
            f"{path}: {size:,} bytes",
            expected=f"at most {_MAX_BYTES:,} bytes",
            remedy="split the manifest into several datasets",
        )


def _open_csv(path: Path) -> tuple[list[str], Iterator[Row]]:
    rows = _csv_rows(path)
    first = next(rows, None)
    if first is None:
        raise ManifestError(f"{path}: empty", expected=f"a header with {_columns_wanted()}")
    return [name.strip() for name in first[1]], rows


def _csv_rows(path: Path) -> Iterator[Row]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for cells in csv.reader(file, strict=True):
                number += 1
                if cells:
                    yield number, cells
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{path}: not UTF-8 (after row {number})",
            expected="UTF-8 text",
            remedy="save the table as CSV UTF-8",
        ) from error
    except (csv.Error, OSError) as error:
        raise ManifestError(
            f"{path}: row {number + 1} cannot be read ({error})",
            expected="comma-separated values, quoted where they hold commas",
        ) from error


def _open_parquet(path: Path) -> tuple[list[str], Iterator[Row]]:
    try:
        file = pq.ParquetFile(path)
        metadata = file.metadata
        unpacked = sum(
            metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)
        )
        if unpacked > _MAX_UNPACKED_BYTES:
            raise ManifestError(
                f"{path}: {unpacked:,} bytes unpacked",
                expected=f"at most {_MAX_UNPACKED_BYTES:,} bytes",
            )
        header = list(file.schema_arrow.names)
        wanted = [name for name in header if name in REQUIRED_COLUMNS + OPTIONAL_COLUMNS]
        columns = [_as_strings(path, file, name) for name in wanted]
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(
            f"{path}: cannot be read as Parquet ({error})", expected="a Parquet table"
        ) from error
    return wanted, iter(list(enumerate(zip(*columns, strict=True), start=1)))


def _as_strings(path: Path, file: pq.ParquetFile, name: str) -> list[str]:
    column = file.read(columns=[name]).column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        raise ManifestError(f"{path}: column {name} of type {column.type}", expected="text")
    return ["" if value is None else str(value) for value in column.to_pylist()]


def _columns_wanted() -> str:
    return f"the columns {', '.join(REQUIRED_COLUMNS)}"


def _find_columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise ManifestError(f"{path}: column {twice[0]} appears twice", expected="one of each name")
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    if missing:
        raise ManifestError(
            f"{path}: column {' and '.join(missing)} is missing",
            expected=_columns_wanted(),
            remedy="add the column",
        )
    known = REQUIRED_COLUMNS + OPTIONAL_COLUMNS
    return {name: header.index(name) for name in known if name in header}


def _collect(
    path: Path, rows: Iterator[Row], width: int, places: dict[str, int]
) -> dict[str, list[object]]:
    table: dict[str, list[object]] = {name: [] for name in REQUIRED_COLUMNS + OPTIONAL_COLUMNS}
    seen: dict[str, int] = {}
    for number, cells in rows:
        if len(cells) != width:
            raise ManifestError(
                f"{path}: row {number} has {len(cells)} values",
                expected=f"{width}, as many as the header",
                remedy="quote values that hold commas",
            )
        values = {name: _clean(cells[place]) for name, place in places.items()}
        _check_row(path, number, values)
        file = values["file"]
        if file in seen:
            raise ManifestError(
                f"{path}: file {file} appears in row {seen[file]} and in row {number}",
                expected="one row for each file",
                remedy="remove one of the rows",
            )
        seen[file] = number
        for name in table:
            value = values.get(name, "")
            table[name].append(_age(path, number, value) if name == "age" else value)
    return table


def _clean(value: str) -> str:
    stripped = value.strip()
    return "" if stripped in _MISSING else stripped


def _check_row(path: Path, number: int, values: dict[str, str]) -> None:
    for name in ("file", "label", "group"):
        value = values[name]
        if not value:
            raise ManifestError(f"{path}: row {number}: {name} is empty", expected=f"a {name}")
        if len(value) > _MAX_NAME or not value.isprintable():
            raise ManifestError(
                f"{path}: row {number}: {name} {value[:40]!r} is not usable",
                expected=f"at most {_MAX_NAME} printable characters",
            )
    if values["role"] not in ROLES:
        raise ManifestError(
            f"{path}: row {number}: role {values['role'][:40]!r} is unknown",
            expected=" or ".join(ROLES),
            remedy="correct the role",
        )
    for name in ("sex", "site", "text", "extra"):
        if len(values.get(name, "")) > _MAX_TEXT:
            raise ManifestError(
                f"{path}: row {number}: {name} of {len(values[name]):,} characters",
                expected=f"at most {_MAX_TEXT:,} characters",
            )


def _age(path: Path, number: int, value: str) -> float:
    if not value:
        return math.nan
    try:
        age = float(value)
    except ValueError:
        age = math.nan
    if not 0 <= age <= _MAX_AGE:
        raise ManifestError(
            f"{path}: row {number}: age {value[:40]!r}",
            expected=f"years from 0 to {_MAX_AGE:.0f}, or nothing",
        )
    return age
