"""The images of a benchmark: one role of a manifest, decoded once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from sgps.datasets.decoding import read_image
from sgps.datasets.manifest import OPTIONAL_COLUMNS, read_manifest, resolve_image_path
from sgps.datasets.preprocessing import resize_and_crop
from sgps.errors import InputError, ManifestError
from sgps.evaluation.corruptions import CorruptedCopies
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
    episodes: how many there are, at least 2.
    first_episode: the first of them, from 0, that is measured: the rest of a benchmark whose
        earlier episodes were measured elsewhere. At least 2 are left.
    seed: of the episodes.
    resolution: side in pixels to which every image is brought before any method sees it.
    dataset: name under which class descriptions are looked up; by default the manifest's folder.
    descriptions: folder of class descriptions; without it no method is given any text.
    name: of the setting in reports; by default the dataset.
    notes: append the clinical notes of a class's support images to its description.
    min_groups: classes with fewer groups are left out (and in any case those with too few for
        k_shot + 1).
    absent_role: whose classes, apart from those of `role`, the images of absent classes are taken
        from; by default they are of the classes of `role` that an episode leaves out.
    absent_manifest: where the rows of `absent_role` stand; by default in `manifest`.
    iterative_episodes: on how many episodes a method with ``iterative = True`` runs.
    corruption_episodes: on how many episodes corrupted copies of the queries are scored too.

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
    name: str = ""
    notes: bool = False
    min_groups: int = 0
    absent_role: str = ""
    absent_manifest: Path | None = None
    iterative_episodes: int = 60
    corruption_episodes: int = 0
    first_episode: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "n_way": (2, 20),
            "k_shot": (1, 1000),
            "n_query": (1, 1000),
            "episodes": (2, 100_000),
            "seed": (0, 2**63 - 1),
            "resolution": (32, 1024),
            "min_groups": (0, 1000),
            "iterative_episodes": (2, 100_000),
            "corruption_episodes": (0, 100_000),
            "first_episode": (0, self.episodes - 2),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}", expected=f"{low} to {high}")
        if not self.dataset:
            object.__setattr__(self, "dataset", self.manifest.resolve().parent.name)
        if not self.name:
            object.__setattr__(self, "name", self.dataset)

    @property
    def needed_groups(self) -> int:
        """How many groups a class must have."""
        return max(self.k_shot + 1, self.min_groups)

    def measured_of_first(self, count: int) -> int:
        """Return how many of the first `count` episodes are measured."""
        return max(0, min(count, self.episodes) - self.first_episode)


class TooFewClassesError(InputError):
    """The rows of a role cannot fill the episodes that were asked for."""


@dataclass(frozen=True)
class BenchmarkData:
    """The rows of one role and their images.

    Attributes
    ----------
    frame: the M rows, numbered from 0, with the column pixel_sha256 of the image as decoded.
    images: uint8 (M + A, 3, R, R), those of `frame` and then those of `absent`.
    digest: sha256 over label, group, role and pixels of the rows, in any order.
    absent: the A rows of classes that no episode has, numbered from 0; None where the classes that
        an episode leaves out serve.
    absent_digest: the same of those.
    """

    frame: pd.DataFrame
    images: Images
    digest: str
    absent: pd.DataFrame | None = None
    absent_digest: str = ""

    @cached_property
    def metadata_digest(self) -> str:
        """Sha256 over sex, age, site, note and further facts of the rows, in any order."""
        facts = self.frame.reindex(columns=["pixel_sha256", "group", *OPTIONAL_COLUMNS])
        known = facts.astype(object).where(facts.notna(), None)
        rows = sorted(json.dumps(row, default=str) for row in known.to_numpy().tolist())
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    @cached_property
    def absent_groups(self) -> dict[str, dict[str, list[int]]]:
        """Label -> group -> rows of `images`, of those that may show an absent class."""
        frame, first = (self.frame, 0) if self.absent is None else (self.absent, len(self.frame))
        found: dict[str, dict[str, list[int]]] = {}
        for place, (label, group) in enumerate(zip(frame["label"], frame["group"], strict=True)):
            found.setdefault(str(label), {}).setdefault(str(group), []).append(first + place)
        return found

    @cached_property
    def corrupted_copies(self) -> CorruptedCopies:
        """Altered copies of the images; the same ones for all settings on these data."""
        return CorruptedCopies(self.images)


def load_benchmark_data(
    settings: BenchmarkSettings, progress: Progress | None = None
) -> BenchmarkData:
    """Read the manifest and decode the images of the role, and no others.

    Images of `absent_role` are decoded beside them, where the settings name one.

    Raises
    ------
    ManifestError: the manifest cannot be read, or lacks a column.
    InputError: no row has the role; too few classes for n_way; too few groups for k_shot + 1; a
        path leaves the manifest's folder.
    ImageError: an image cannot be read.
    """
    frame = _rows_of_role(settings.manifest, settings.role)
    require_enough_groups(frame, settings)
    absent, absent_folder = None, settings.manifest.parent
    if settings.absent_role:
        manifest = settings.absent_manifest or settings.manifest
        absent = _rows_of_role(manifest, settings.absent_role)
        absent = absent[~absent["label"].isin(frame["label"])].reset_index(drop=True)
        absent_folder = manifest.parent
    files = _paths(frame, settings.manifest.parent)
    files += [] if absent is None else _paths(absent, absent_folder)
    images, digests = _decode(files, settings.resolution, progress)
    frame = frame.assign(pixel_sha256=digests[: len(frame)])
    _require_one_label_an_image(frame, settings)
    if absent is None:
        return BenchmarkData(frame, images, _digest(frame))
    absent = absent.assign(pixel_sha256=digests[len(frame) :])
    return BenchmarkData(frame, images, _digest(frame), absent, _digest(absent))


def _paths(frame: pd.DataFrame, folder: Path) -> list[Path]:
    return [resolve_image_path(folder, file) for file in frame["file"]]


def _decode(
    files: Sequence[Path], size: int, progress: Progress | None
) -> tuple[Images, list[str]]:
    images = np.empty((len(files), 3, size, size), dtype=np.uint8)
    digests = []
    for row, file in enumerate(files):
        decoded = read_image(file)
        images[row] = resize_and_crop(decoded.pixels, size).transpose(2, 0, 1)
        digests.append(decoded.pixel_sha256)
        if progress is not None:
            progress("images", row + 1, len(files))
    return images, digests


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
    TooFewClassesError: there are too few classes, or too few with enough groups; both numbers are
        named.
    """
    groups = frame.groupby("label")["group"].nunique().sort_values(ascending=False)
    if len(groups) < settings.n_way:
        raise TooFewClassesError(
            f"role {settings.role} of {settings.manifest} has {len(groups)} classes, "
            f"too few for n_way {settings.n_way}",
            remedy=f"ask for n_way {len(groups)} or less" if len(groups) > 1 else "",
        )
    needed = settings.needed_groups
    enough = int((groups >= needed).sum())
    if enough < settings.n_way:
        label, count = groups.index[settings.n_way - 1], int(groups.iloc[settings.n_way - 1])
        asked = "k_shot" if needed == settings.k_shot + 1 else "min_groups"
        raise TooFewClassesError(
            f"{asked} {getattr(settings, asked)} needs {needed} groups a class in "
            f"{settings.n_way} classes, but only {enough} classes have as many; {label!r} has "
            f"{count}",
            remedy="ask for fewer shots or classes",
        )


def _rows_of_role(path: Path, role: str) -> pd.DataFrame:
    manifest = read_manifest(path)
    frame = manifest[manifest["role"] == role].reset_index(drop=True)
    if frame.empty:
        roles = ", ".join(sorted(manifest["role"].unique())) or "none"
        raise InputError(
            f"{path} has no rows with role {role!r}", expected=f"one of the roles there: {roles}"
        )
    return frame


def _digest(frame: pd.DataFrame) -> str:
    columns = frame[["label", "group", "role", "pixel_sha256"]]
    rows = sorted("\x1f".join(row) for row in columns.itertuples(index=False))
    return hashlib.sha256("\x1e".join(rows).encode()).hexdigest()
