"""The files of a stored dataset: Parquet shards and the description beside them.

A shard holds the metadata columns of ``FRAME_COLUMNS`` and the PNG bytes, uncompressed (PNG is)
and in small row groups, so that one image can be read without its neighbours.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sgps.errors import IntegrityError

FORMAT, FORMAT_VERSION = "sgps-dataset", 1
DESCRIPTION_FILE = "dataset.json"
PNG_COLUMN = "png"
TEXT_COLUMNS = ("file", "label", "group", "role", "sex", "site", "text", "extra")
HASH_COLUMNS = ("file_sha256", "pixel_sha256", "perceptual_hash", "metadata_removed")
FRAME_COLUMNS = (
    *("file", "label", "group", "role", "sex", "age", "site", "text", "extra"),
    *("width", "height", *HASH_COLUMNS),
)

_ROWS_PER_GROUP = 32
_SHARD_NAME = re.compile(r"shard-\d{5}\.parquet")
_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in (*TEXT_COLUMNS, *HASH_COLUMNS)),
        pa.field("age", pa.float64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field(PNG_COLUMN, pa.binary()),
    ]
)


@dataclass(frozen=True)
class Shard:
    """One shard as the description names it; ``sha256`` is that of the whole file."""

    file: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class DatasetDescription:
    """What ``dataset.json`` holds; written without the time, so the same images give one file."""

    name: str
    digest: str
    images: int
    classes: dict[str, int]
    roles: dict[str, int]
    source: str
    max_side: int
    created_by: str
    shards: tuple[Shard, ...]
    format: str = FORMAT
    format_version: int = FORMAT_VERSION


def write_shard(folder: Path, number: int, rows: Sequence[dict[str, Any]]) -> Shard:
    """Write ``rows`` (the columns of a shard, by name) as shard ``number`` of ``folder``."""
    path = folder / f"shard-{number:05d}.parquet"
    codecs = {name: "none" if name == PNG_COLUMN else "zstd" for name in _SCHEMA.names}
    pq.write_table(
        pa.Table.from_pylist(list(rows), schema=_SCHEMA),
        path,
        row_group_size=_ROWS_PER_GROUP,
        compression=codecs,
        use_dictionary=False,
        write_statistics=False,
    )
    return Shard(path.name, len(rows), hash_file(path))


def read_shard_frame(path: Path) -> pd.DataFrame:
    """The metadata columns of one shard, without the PNG bytes."""
    table = pq.read_table(path, columns=list(FRAME_COLUMNS), partitioning=None)
    frame: pd.DataFrame = table.to_pandas(strings_to_categorical=False)
    return frame


def row_digest(row: Mapping[Any, Any]) -> str:
    """SHA-256 of everything about an image that a later step may depend on."""
    age = None if row["age"] is None or row["age"] != row["age"] else float(row["age"])
    values = [*(row[name] for name in TEXT_COLUMNS), age, row["pixel_sha256"]]
    return hashlib.sha256(json.dumps(values, ensure_ascii=True).encode()).hexdigest()


def dataset_digest(row_digests: Iterable[str]) -> str:
    """SHA-256 over the sorted row digests."""
    return hashlib.sha256("\n".join(sorted(row_digests)).encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 in hex of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_description(folder: Path, description: DatasetDescription) -> None:
    """Write ``dataset.json`` into ``folder``."""
    text = json.dumps(asdict(description), indent=2, ensure_ascii=False, sort_keys=True)
    (folder / DESCRIPTION_FILE).write_text(text + "\n", encoding="utf-8")


def read_description(folder: Path) -> DatasetDescription:
    """Read ``dataset.json``.

    Raises
    ------
    IntegrityError: it is damaged, of another format or version, or names foreign files.
    """
    path = folder / DESCRIPTION_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT or values["format_version"] != FORMAT_VERSION:
            raise IntegrityError(
                f"{path}: format {values['format']!r} version {values['format_version']!r}",
                expected=f"{FORMAT!r} version {FORMAT_VERSION}",
                remedy="ingest the dataset again",
            )
        shards = tuple(Shard(**shard) for shard in values.pop("shards"))
        description = DatasetDescription(**values, shards=shards)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"{path}: damaged ({type(error).__name__}: {error})",
            expected="the file that ingesting wrote",
            remedy="ingest the dataset again",
        ) from error
    for shard in description.shards:
        if not _SHARD_NAME.fullmatch(shard.file):
            raise IntegrityError(f"{path}: a shard named {shard.file!r}", expected="shard-NNNNN")
    return description
