"""The images of a benchmark: one role of a manifest, decoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sgps.datasets.decoding import read_image
from sgps.datasets.manifest import read_manifest, resolve_image_path
from sgps.datasets.preprocessing import resize_and_crop
from sgps.errors import InputError, ManifestError
from sgps.evaluation.methods import Images

Progress = Callable[[str, int, int], None]
"""Called with a stage ("images", "episodes"), how much of it is done, and how much there is."""


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is measured.

    Attributes
    ----------
    manifest: CSV or Parquet file with the columns file, label, group and role.
    role: whose rows are used.
    n_way: classes an episode, 2 to 20.
    k_shot: support images a class.
    n_query: query images a class, at most (fewer where a class has fewer groups left).
    episodes: how many, at least 2.
    seed: of the episodes.
    resolution: side in pixels to which every image is brought before any method sees it.
    dataset: name under which class descriptions are looked up; by default the manifest's folder.
    descriptions: folder of class descriptions; without it no method is given any text.

    Raises
    ------
    InputError: a number is out of its range.
    """

    manifest: Path
    role: str
    n_way: int
    k_shot: int
    n_query: int = 10
    episodes: int = 200
    seed: int = 0
    resolution: int = 128
    dataset: str = ""
    descriptions: Path | None = None

    def __post_init__(self) -> None:
        ranges = {
            "n_way": (2, 20),
            "k_shot": (1, 1000),
            "n_query": (1, 1000),
            "episodes": (2, 100_000),
            "seed": (0, 2**63 - 1),
            "resolution": (32, 1024),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}", expected=f"{low} to {high}")
        if not self.dataset:
            object.__setattr__(self, "dataset", self.manifest.resolve().parent.name)


@dataclass(frozen=True)
class BenchmarkData:
    """The rows of one role and their images.

    Attributes
    ----------
    frame: the M rows, numbered from 0, with the column pixel_sha256 of the image as decoded.
    images: uint8 (M, 3, R, R).
    digest: sha256 over label, group, role and pixels of the rows, in any order.
    """

    frame: pd.DataFrame
    images: Images
    digest: str


def load_benchmark_data(
    settings: BenchmarkSettings, progress: Progress | None = None
) -> BenchmarkData:
    """Read the manifest and decode the images of the role, and no others.

    Raises
    ------
    ManifestError: the manifest cannot be read, or lacks a column.
    InputError: no row has the role; too few classes for n_way; too few groups for k_shot + 1; a
        path leaves the manifest's folder.
    ImageError: an image cannot be read.
    """
    frame = _rows_of_role(settings)
    require_enough_groups(frame, settings)
    folder = settings.manifest.parent
    size = settings.resolution
    images = np.empty((len(frame), 3, size, size), dtype=np.uint8)
    digests = []
    for row, file in enumerate(frame["file"]):
        decoded = read_image(resolve_image_path(folder, file))
        images[row] = resize_and_crop(decoded.pixels, size).transpose(2, 0, 1)
        digests.append(decoded.pixel_sha256)
        if progress is not None:
            progress("images", row + 1, len(frame))
    frame = frame.assign(pixel_sha256=digests)
    _require_one_label_an_image(frame, settings)
    return BenchmarkData(frame, images, _digest(frame))


def _require_one_label_an_image(frame: pd.DataFrame, settings: BenchmarkSettings) -> None:
    labels = frame.groupby("pixel_sha256")["label"].nunique()
    if (labels > 1).any():
        rows = frame[frame["pixel_sha256"] == labels.index[labels > 1][0]]
        raise ManifestError(
            f"{settings.manifest}: {' and '.join(rows['file'][:2])} are the same image under the"
            f" labels {' and '.join(sorted(set(rows['label']))[:2])}",
            expected="one label an image",
            remedy="remove the wrong row",
        )


def require_enough_groups(frame: pd.DataFrame, settings: BenchmarkSettings) -> None:
    """Check that episodes can be drawn from the rows of a role.

    Raises
    ------
    InputError: there are too few classes, or too few with k_shot + 1 groups; both numbers are
        named.
    """
    groups = frame.groupby("label")["group"].nunique().sort_values(ascending=False)
    if len(groups) < settings.n_way:
        raise InputError(
            f"role {settings.role} of {settings.manifest} has {len(groups)} classes, "
            f"too few for n_way {settings.n_way}",
            remedy=f"ask for n_way {len(groups)} or less" if len(groups) > 1 else "",
        )
    needed = settings.k_shot + 1
    enough = int((groups >= needed).sum())
    if enough < settings.n_way:
        label, count = groups.index[settings.n_way - 1], int(groups.iloc[settings.n_way - 1])
        raise InputError(
            f"k_shot {settings.k_shot} needs {needed} groups a class in {settings.n_way} classes, "
            f"but only {enough} classes have as many; {label!r} has {count}",
            remedy="ask for fewer shots or classes",
        )


def _rows_of_role(settings: BenchmarkSettings) -> pd.DataFrame:
    manifest = read_manifest(settings.manifest)
    frame = manifest[manifest["role"] == settings.role].reset_index(drop=True)
    if frame.empty:
        roles = ", ".join(sorted(manifest["role"].unique())) or "none"
        raise InputError(
            f"{settings.manifest} has no rows with role {settings.role!r}",
            expected=f"one of the roles there: {roles}",
        )
    return frame


def _digest(frame: pd.DataFrame) -> str:
    columns = frame[["label", "group", "role", "pixel_sha256"]]
    rows = sorted("\x1f".join(row) for row in columns.itertuples(index=False))
    return hashlib.sha256("\x1e".join(rows).encode()).hexdigest()
