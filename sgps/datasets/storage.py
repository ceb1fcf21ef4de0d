"""Stored datasets: one folder each, shards of PNG and metadata, checked by digest when opened."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from sgps.datasets._shards import (
    DESCRIPTION_FILE,
    FRAME_COLUMNS,
    PNG_COLUMN,
    DatasetDescription,
    dataset_digest,
    hash_file,
    read_description,
    read_shard_frame,
    row_digest,
)
from sgps.datasets.decoding import Pixels
from sgps.datasets.preprocessing import resize_and_crop
from sgps.errors import InputError, IntegrityError, UnknownNameError

Progress = Callable[[int, int], None]


class StoredDataset:
    """One dataset of a store, opened with :meth:`open`.

    Images stay on disk until asked for; what is known of them is in ``frame``.

    Attributes
    ----------
    digest: SHA-256 in hex over the sorted row digests (metadata and pixels), the same however
        and whenever the images were stored.
    frame: one row an image, RangeIndex, the columns file, label, group, role, sex, age (float,
        NaN where unknown), site, text, extra, width, height, file_sha256 (of the file ingested),
        pixel_sha256 (of the pixels stored), perceptual_hash, metadata_removed (kinds, joined by
        commas).
    """

    def __init__(self, folder: Path, description: DatasetDescription, frame: pd.DataFrame) -> None:
        self.folder = folder
        self.description = description
        self.name = description.name
        self.digest = description.digest
        self.frame = frame
        self._places = _locate_rows(folder, description)
        self._lock = threading.Lock()
        self._last_read: tuple[tuple[int, int], pa.ChunkedArray] | None = None

    @classmethod
    def open(cls, folder: Path, *, verify: bool = True) -> StoredDataset:
        """Open the dataset in ``folder``.

        With ``verify=False`` the shards are not hashed (listing many datasets); their metadata
        still has to match the digest.

        Raises
        ------
        UnknownNameError: there is no dataset. IntegrityError: a file is missing, foreign or not
            what was written.
        """
        if not (folder / DESCRIPTION_FILE).is_file():
            near = [dataset.name for dataset in _dataset_folders(folder.parent)]
            raise UnknownNameError(
                f"no dataset in {folder}",
                expected=f"one of {', '.join(near)}" if near else f"a {DESCRIPTION_FILE}",
                remedy="ingest it first or correct the name",
            )
        description = read_description(folder)
        for shard in description.shards:
            path = folder / shard.file
            if not path.is_file():
                raise _damaged(path, "missing")
            if verify and hash_file(path) != shard.sha256:
                raise _damaged(path, "its SHA-256 is not the one recorded")
        return cls(folder, description, _read_frame(folder, description))

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        return f"StoredDataset({self.name!r}, images={len(self)}, digest={self.digest[:12]!r})"

    def png_bytes(self, index: int) -> bytes:
        """The PNG file of row ``index`` of ``frame``. Raises InputError for an unknown row."""
        shard, group, offset = self._places[self._check_index(index)]
        return bytes(self._row_group(int(shard), int(group))[int(offset)].as_buffer())

    def pixels(self, index: int) -> Pixels:
        """The image of row ``index``: uint8 (H, W, 3). Raises InputError for an unknown row."""
        return _decode_stored(self.png_bytes(index))

    def images(
        self,
        size: int,
        indices: Sequence[int] | None = None,
        *,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Images at one size, by :func:`resize_and_crop`: uint8 (M, 3, size, size).

        indices: rows of ``frame`` in the order wanted, all where None. progress: called with the
        counts of images done and wanted.

        Raises
        ------
        InputError: an unknown row or a size below 1.
        """
        if size < 1:
            raise InputError(f"image size {size}", expected="at least 1 pixel")
        wanted = range(len(self)) if indices is None else [self._check_index(i) for i in indices]
        images = np.empty((len(wanted), 3, size, size), dtype=np.uint8)
        order = sorted(range(len(wanted)), key=lambda position: wanted[position])

        def decode(position: int, png: bytes) -> None:
            images[position] = resize_and_crop(_decode_stored(png), size).transpose(2, 0, 1)

        batch = 64
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for start in range(0, len(order), batch):
                positions = order[start : start + batch]
                files = [self.png_bytes(wanted[position]) for position in positions]
                list(pool.map(decode, positions, files))
                if progress is not None:
                    progress(start + len(positions), len(order))
        return images

    def _check_index(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise InputError(
                f"row {index} of dataset {self.name}", expected=f"0 to {len(self) - 1}"
            )
        return int(index)

    def _row_group(self, shard: int, group: int) -> pa.ChunkedArray:
        with self._lock:
            if self._last_read is None or self._last_read[0] != (shard, group):
                path = self.folder / self.description.shards[shard].file
                with pq.ParquetFile(path, memory_map=True) as file:
                    table = file.read_row_group(group, columns=[PNG_COLUMN])
                self._last_read = ((shard, group), table.column(PNG_COLUMN))
            return self._last_read[1]


def find_datasets(root: Path, *, verify: bool = True) -> list[StoredDataset]:
    """Every dataset directly under ``root``, by name; none where ``root`` does not exist.

    Raises
    ------
    IntegrityError: one of them is damaged.
    """
    return [StoredDataset.open(folder, verify=verify) for folder in _dataset_folders(root)]


def _dataset_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(
        path.parent
        for path in root.glob(f"*/{DESCRIPTION_FILE}")
        if not path.parent.name.startswith(".")
    )


def _decode_stored(png: bytes) -> Pixels:
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return np.array(image, dtype=np.uint8)


def _read_frame(folder: Path, description: DatasetDescription) -> pd.DataFrame:
    try:
        parts = [read_shard_frame(folder / shard.file) for shard in description.shards]
        frame = pd.concat(parts, ignore_index=True)[list(FRAME_COLUMNS)]
        digest = dataset_digest(row_digest(row) for row in frame.to_dict("records"))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, str(error)) from error
    if digest != description.digest or len(frame) != description.images:
        raise _damaged(folder, f"its rows do not match the digest in {DESCRIPTION_FILE}")
    return frame


def _locate_rows(folder: Path, description: DatasetDescription) -> npt.NDArray[np.int64]:
    """Shard, row group and offset of each row: (images, 3)."""
    places: list[tuple[int, int, int]] = []
    for number, shard in enumerate(description.shards):
        metadata = pq.read_metadata(folder / shard.file)
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            places.extend((number, group, offset) for offset in range(rows))
    return np.array(places, dtype=np.int64).reshape(-1, 3)


def _damaged(path: Path, reason: str) -> IntegrityError:
    return IntegrityError(
        f"{path}: {reason}",
        expected="the files as they were written",
        remedy="ingest the dataset again or restore it",
    )
