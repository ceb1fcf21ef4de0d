"""From a source to a stored dataset: decoded, stripped and hashed, written whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from sgps.datasets._dataset_writer import DatasetWriter
from sgps.datasets._folder_writing import written_whole
from sgps.datasets._shards import PNG_COLUMN
from sgps.datasets.decoding import (
    DEFAULT_LIMITS,
    ImageLimits,
    decode_image,
    encode_png,
    hash_pixels,
    perceptual_hash,
)
from sgps.datasets.preprocessing import shrink_long_side
from sgps.datasets.records import ROLES, ImageRecord, Source, normalise_sex
from sgps.datasets.storage import Progress, StoredDataset
from sgps.errors import ImageError, InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_MAX_REPORTED = 20
_BATCH = 32


def ingest(
    source: Source,
    root: Path,
    *,
    limits: ImageLimits = DEFAULT_LIMITS,
    max_side: int = 512,
    rows_per_shard: int = 512,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> StoredDataset:
    """Store every image of ``source`` as the dataset ``root / source.name``.

    Each image is decoded within ``limits``, shrunk where a side exceeds ``max_side`` pixels,
    encoded as PNG without metadata and hashed. The dataset is written beside its place and moved
    there at the end: whatever fails, no half of it is left, and an older one stays as it was.
    progress: called with the counts of images done and expected.

    Raises
    ------
    ImageError: images cannot be used; up to 20 are named. InputError: the name, a record or an
        argument is wrong, or there are no images. StoreError: the store cannot be written, or the
        dataset exists and ``overwrite`` is False.
    """
    _check_arguments(source.name, max_side, rows_per_shard)
    target = root / source.name
    with written_whole(target, overwrite=overwrite) as working:
        writer = DatasetWriter(working, rows_per_shard)
        _store_images(source, writer, limits, max_side, progress)
        writer.finish(source, max_side)
    return StoredDataset.open(target)


def _store_images(
    source: Source,
    writer: DatasetWriter,
    limits: ImageLimits,
    max_side: int,
    progress: Progress | None,
) -> None:
    total = len(source)
    bad: list[str] = []
    done = 0

    def make_row(record: ImageRecord) -> dict[str, Any] | str:
        try:
            return _make_row(record, limits, max_side)
        except ImageError as error:
            return str(error)

    records = _checked(source)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        while batch := list(islice(records, _BATCH)):
            for row in pool.map(make_row, batch):
                if isinstance(row, str):
                    bad.append(row)
                elif not bad:
                    writer.add(row)
            done += len(batch)
            if progress is not None:
                progress(done, max(done, total))
            if len(bad) >= _MAX_REPORTED:
                break
    if bad:
        raise _unusable(source.name, bad)


def _checked(source: Source) -> Iterator[ImageRecord]:
    seen: set[str] = set()
    for record in source.records():
        _check_record(source.name, record)
        if record.name in seen:
            raise InputError(
                f"dataset {source.name}: file {record.name} comes twice",
                expected="each file once",
            )
        seen.add(record.name)
        yield record


def _check_record(dataset: str, record: ImageRecord) -> None:
    for column in ("name", "label", "group"):
        value = getattr(record, column)
        if not value.strip() or not value.isprintable():
            raise InputError(
                f"dataset {dataset}, file {record.name!r}: {column} {value!r}",
                expected="printable characters",
            )
    if record.role not in ROLES:
        raise InputError(
            f"dataset {dataset}, file {record.name}: role {record.role!r} is unknown",
            expected=" or ".join(ROLES),
        )


def _make_row(record: ImageRecord, limits: ImageLimits, max_side: int) -> dict[str, Any]:
    try:
        data = record.read()
    except OSError as error:
        raise ImageError(
            f"{record.name}: cannot be read ({error.strerror or error})",
            expected="a readable image file",
        ) from error
    decoded = decode_image(data, name=record.name, limits=limits)
    pixels = shrink_long_side(decoded.pixels, max_side)
    shrunk = pixels is not decoded.pixels
    return {
        "file": record.name,
        "label": record.label,
        "group": record.group,
        "role": record.role,
        "sex": normalise_sex(record.sex),
        "age": record.age,
        "site": record.site,
        "text": record.text,
        "extra": record.extra,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "file_sha256": decoded.file_sha256,
        "pixel_sha256": hash_pixels(pixels) if shrunk else decoded.pixel_sha256,
        "perceptual_hash": perceptual_hash(pixels),
        "metadata_removed": ",".join(decoded.removed),
        PNG_COLUMN: encode_png(pixels),
    }


def _unusable(dataset: str, reasons: Iterable[str]) -> ImageError:
    shown = list(reasons)
    more = " (the first found)" if len(shown) >= _MAX_REPORTED else ""
    listed = " | ".join(shown[:_MAX_REPORTED])
    return ImageError(
        f"dataset {dataset} was not stored, {len(shown)} images cannot be used{more}: {listed}",
        remedy="mend or remove them",
    )


def _check_arguments(name: str, max_side: int, rows_per_shard: int) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"dataset name {name!r}",
            expected="up to 100 letters, digits, '_', '-' or '.', the first a letter or digit",
        )
    if max_side < 16 or rows_per_shard < 1:
        raise InputError(
            f"max_side {max_side}, rows_per_shard {rows_per_shard}",
            expected="at least 16 pixels and at least 1 row",
        )
