"""The classes and groups that episodes are drawn from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from sgps.errors import InputError, UnknownNameError


@dataclass(frozen=True)
class GroupRows:
    """One patient, lesion or cluster: its name and the rows of its images in one class."""

    group: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class ClassPool:
    """The classes of one domain (dataset) and, class by class, their groups.

    Rows are positions in the frame that the pool was made of.
    """

    domain: str
    labels: tuple[str, ...]
    groups_by_label: tuple[tuple[GroupRows, ...], ...]

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        domain: str,
        roles: Collection[str] | None = None,
        labels: Collection[str] | None = None,
        min_groups: int = 2,
    ) -> ClassPool:
        """Pool the rows of ``frame`` (columns label, group, role and, if there, file).

        roles, labels: keep only these; all where None. min_groups: classes with fewer groups are
        left out, unless they were named in ``labels``. The pool depends on the order of the rows
        only through the row numbers it holds, where ``file`` tells the images of a group apart.

        Raises
        ------
        UnknownNameError: a label that the kept rows do not have. InputError: no class is left, or
            a class named in ``labels`` has fewer than ``min_groups`` groups.
        """
        positions = pd.DataFrame(
            {
                "label": frame["label"].astype(str).to_numpy(),
                "group": frame["group"].astype(str).to_numpy(),
                "file": frame["file" if "file" in frame else "group"].astype(str).to_numpy(),
                "row": range(len(frame)),
            }
        )
        if roles is not None:
            positions = positions[frame["role"].isin(list(roles)).to_numpy()]
        grouped = _group_rows(positions)
        kept = _choose_labels(grouped, domain, labels, min_groups)
        if not kept:
            of_roles = "" if roles is None else f" of role {' or '.join(sorted(roles))}"
            raise InputError(
                f"domain {domain}: no class{of_roles} to draw from",
                expected=f"classes with at least {min_groups} groups",
                remedy="choose other roles or add images",
            )
        return cls(domain, tuple(kept), tuple(grouped[label] for label in kept))

    @cached_property
    def group_counts(self) -> tuple[int, ...]:
        """How many groups each class has."""
        return tuple(len(groups) for groups in self.groups_by_label)


def _group_rows(positions: pd.DataFrame) -> dict[str, tuple[GroupRows, ...]]:
    rows: dict[str, dict[str, list[int]]] = {}
    ordered = positions.sort_values(["label", "group", "file", "row"], kind="stable")
    for label, group, row in zip(ordered["label"], ordered["group"], ordered["row"], strict=True):
        rows.setdefault(label, {}).setdefault(group, []).append(int(row))
    return {
        label: tuple(GroupRows(group, tuple(numbers)) for group, numbers in groups.items())
        for label, groups in rows.items()
    }


def _choose_labels(
    grouped: dict[str, tuple[GroupRows, ...]],
    domain: str,
    labels: Collection[str] | None,
    min_groups: int,
) -> list[str]:
    if labels is None:
        return sorted(label for label, groups in grouped.items() if len(groups) >= min_groups)
    for label in sorted(labels):
        if label not in grouped:
            raise UnknownNameError(
                f"domain {domain}: no images of class {label!r}",
                expected=f"one of {', '.join(sorted(grouped))}",
            )
        if len(grouped[label]) < min_groups:
            raise InputError(
                f"domain {domain}: class {label!r} has {len(grouped[label])} groups",
                expected=f"at least {min_groups}",
            )
    return sorted(set(labels))
