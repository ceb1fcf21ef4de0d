"""The table a suite is run on: one row an image, with what concerns other rows as columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sgps.datasets._image_measures import ImageMeasures, measure_images
from sgps.datasets._near_duplicates import ImagePair, find_near_duplicates, hashes_as_integers
from sgps.datasets.storage import StoredDataset


class ValidationTable:
    """Rows of one or several datasets together.

    frame: the stored columns and, per image: ``row`` (its number), ``dataset``, ``name`` (the
    file, with the dataset's name before it where there are several), ``roles_of_group``,
    ``groups_of_image``, ``roles_of_image``, ``labels_of_image`` (counts over exact duplicates),
    ``near_groups``, ``near_roles``, ``known_near_groups`` (counts of near-duplicates elsewhere),
    ``width``, ``height``, ``channels``, ``brightness``, ``contrast``, ``unusual_share`` (share of
    its dataset's images with unusual brightness), ``images_of_class``, ``groups_of_class``,
    ``classes_of_role`` (classes with enough groups; NaN for the role unassigned).
    pairs: the near-duplicates, by row.
    """

    def __init__(self, frame: pd.DataFrame, pairs: Sequence[ImagePair]) -> None:
        self.frame = frame
        self.pairs = tuple(pairs)
        self._neighbours: dict[int, list[ImagePair]] = {}
        for pair in self.pairs:
            self._neighbours.setdefault(pair.first, []).append(pair)
            self._neighbours.setdefault(pair.second, []).append(pair)

    def neighbours(self, row: int) -> list[tuple[int, ImagePair]]:
        """Rows of the near-duplicates of ``row``, each with its pair."""
        return [
            (pair.second if pair.first == row else pair.first, pair)
            for pair in self._neighbours.get(row, [])
        ]

    def names(self, rows: Sequence[int]) -> list[str]:
        """Display names of the rows."""
        return [str(name) for name in self.frame["name"].iloc[list(rows)]]


def combine_frames(datasets: Sequence[StoredDataset]) -> pd.DataFrame:
    """The stored rows of all datasets with ``row``, ``dataset`` and ``name``."""
    frames = [dataset.frame.assign(dataset=dataset.name) for dataset in datasets]
    frame = pd.concat(frames, ignore_index=True)
    frame["row"] = np.arange(len(frame))
    if "file" in frame:
        several = len(datasets) > 1
        frame["name"] = frame["dataset"] + "/" + frame["file"] if several else frame["file"]
    return frame


def build_table(
    datasets: Sequence[StoredDataset],
    frame: pd.DataFrame,
    *,
    usual_brightness: tuple[float, float],
    max_hash_distance: int,
    min_detail_similarity: float,
    min_groups_per_class: int,
    known: Mapping[str, str],
) -> ValidationTable:
    """Measure the images of ``datasets`` and add the computed columns to ``frame``.

    known: datasets whose near-duplicates among their own images count as ``known_near_groups``.
    """
    table = frame.copy()
    measures = [measure_images(dataset) for dataset in datasets]
    _add_measures(table, measures, usual_brightness)
    _add_group_columns(table)
    _add_class_columns(table, min_groups_per_class)
    pairs = find_near_duplicates(
        hashes_as_integers(table["perceptual_hash"].tolist()),
        np.concatenate([measure.signatures for measure in measures]),
        _codes(table, ["dataset", "group"]),
        _codes(table, ["pixel_sha256"]),
        max_distance=max_hash_distance,
        min_similarity=min_detail_similarity,
    )
    _add_near_columns(table, pairs, known)
    return ValidationTable(table, pairs)


def _add_measures(
    table: pd.DataFrame, measures: Sequence[ImageMeasures], usual: tuple[float, float]
) -> None:
    for column in ("width", "height", "channels", "brightness", "contrast"):
        table[column] = np.concatenate([getattr(measure, column) for measure in measures])
    unusual = ~table["brightness"].between(*usual)
    table["unusual_share"] = unusual.groupby(table["dataset"]).transform("mean")


def _add_group_columns(table: pd.DataFrame) -> None:
    owner = pd.Series(_codes(table, ["dataset", "group"]), index=table.index)
    by_image = table["pixel_sha256"]
    table["roles_of_group"] = table.groupby(["dataset", "group"])["role"].transform("nunique")
    table["groups_of_image"] = owner.groupby(by_image).transform("nunique")
    table["roles_of_image"] = table["role"].groupby(by_image).transform("nunique")
    table["labels_of_image"] = table.groupby(["dataset", "pixel_sha256"])["label"].transform(
        "nunique"
    )


def _add_class_columns(table: pd.DataFrame, min_groups: int) -> None:
    by_class = table.groupby(["dataset", "role", "label"])
    table["images_of_class"] = by_class["group"].transform("size")
    table["groups_of_class"] = by_class["group"].transform("nunique")
    usable = table["label"].where(table["groups_of_class"] >= min_groups)
    classes = usable.groupby([table["dataset"], table["role"]]).transform("nunique")
    table["classes_of_role"] = classes.where(table["role"] != "unassigned")


def _add_near_columns(
    table: pd.DataFrame, pairs: Sequence[ImagePair], known: Mapping[str, str]
) -> None:
    dataset, role = table["dataset"].to_numpy(), table["role"].to_numpy()

    def is_known(pair: ImagePair) -> bool:
        return dataset[pair.first] == dataset[pair.second] and dataset[pair.first] in known

    def crosses_role(pair: ImagePair) -> bool:
        return bool(role[pair.first] != role[pair.second])

    table["near_groups"] = _count(len(table), pairs, lambda pair: not is_known(pair))
    table["near_roles"] = _count(
        len(table), pairs, lambda pair: crosses_role(pair) and not is_known(pair)
    )
    table["known_near_groups"] = _count(len(table), pairs, is_known)


def _count(size: int, pairs: Sequence[ImagePair], wanted: Callable[[ImagePair], bool]) -> list[int]:
    counts = [0] * size
    for pair in pairs:
        if wanted(pair):
            counts[pair.first] += 1
            counts[pair.second] += 1
    return counts


def _codes(table: pd.DataFrame, columns: list[str]) -> npt.NDArray[np.int64]:
    return np.asarray(table.groupby(columns, sort=False).ngroup(), dtype=np.int64)
