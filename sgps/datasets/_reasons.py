"""Why a row fails a check, in words that name the other rows involved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sgps.datasets._validation_table import ValidationTable

_SHOWN = 4


@dataclass(frozen=True)
class Reason:
    """words: why one row fails. partner: name of the image it clashes with most, or ""."""

    words: str
    partner: str = ""


Explain = Callable[[ValidationTable, int], Reason]


def always(words: str) -> Explain:
    """The same words for every row."""

    def explain(*_: object) -> Reason:
        return Reason(words)

    return explain


def value_of(column: str) -> Explain:
    """The value in ``column``."""

    def explain(table: ValidationTable, row: int) -> Reason:
        value = table.frame[column].iloc[row]
        shown = f"{value:.3g}" if isinstance(value, float) else str(value)[:80]
        return Reason(f"{column} {shown!r}" if isinstance(value, str) else f"{column} {shown}")

    return explain


def other_roles(table: ValidationTable, row: int) -> Reason:
    """The roles of the row's group."""
    frame = table.frame
    own = frame.iloc[row]
    same = frame[(frame["dataset"] == own["dataset"]) & (frame["group"] == own["group"])]
    roles = ", ".join(sorted(set(same["role"])))
    elsewhere = same.loc[same["role"] != own["role"], "name"].tolist()
    return Reason(
        f"role {own['role']}; group {own['group']} is in {roles}", elsewhere[0] if elsewhere else ""
    )


def copies_of(column: str) -> Explain:
    """The exact duplicates that differ in ``column`` or belong to another dataset."""

    def explain(table: ValidationTable, row: int) -> Reason:
        frame = table.frame
        own = frame.iloc[row]
        elsewhere = (frame[column] != own[column]) | (frame["dataset"] != own["dataset"])
        copies = frame[(frame["pixel_sha256"] == own["pixel_sha256"]) & elsewhere]
        names = copies["name"].tolist()
        shown = [
            f"{name} ({column} {value})" for name, value in zip(names, copies[column], strict=True)
        ]
        return Reason(f"{column} {own[column]}; same pixels as {_some(shown)}", names[0])

    return explain


def near_duplicates(table: ValidationTable, row: int) -> Reason:
    """The near-duplicates in other groups, the most alike first."""
    frame = table.frame
    own = frame.iloc[row]
    alike = sorted(table.neighbours(row), key=lambda found: -found[1].similarity)
    shown = []
    for other, pair in alike:
        there = frame.iloc[other]
        shown.append(
            f"{there['name']} (label {there['label']}, group {there['group']}, role "
            f"{there['role']}; {pair.distance} bits apart, similarity {pair.similarity:.3f})"
        )
    words = (
        f"label {own['label']}, group {own['group']}, role {own['role']}; looks like {_some(shown)}"
    )
    return Reason(words, str(frame["name"].iloc[alike[0][0]]))


def dataset_share(table: ValidationTable, row: int) -> Reason:
    """The share of the dataset's images with unusual brightness."""
    own = table.frame.iloc[row]
    return Reason(
        f"{own['unusual_share']:.0%} of {own['dataset']}; this image {own['brightness']:.1f}"
    )


def size_of_role(table: ValidationTable, row: int) -> Reason:
    """Dataset, role and its usable classes."""
    own = table.frame.iloc[row]
    return Reason(
        f"{own['dataset']}, role {own['role']}: {own['classes_of_role']:.0f} such classes"
    )


def size_of_class(table: ValidationTable, row: int) -> Reason:
    """Dataset, role, class and its size."""
    own = table.frame.iloc[row]
    return Reason(
        f"{own['dataset']}, role {own['role']}, class {own['label']}: images "
        f"{own['images_of_class']}, groups {own['groups_of_class']}"
    )


def _some(shown: Sequence[str]) -> str:
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
