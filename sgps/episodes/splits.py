"""Which group plays which role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sgps.datasets._grouping import roles_by_group
from sgps.errors import InputError


def split_by_group(
    groups: Sequence[str],
    fractions: Mapping[str, float],
    seed: int,
    *,
    strata: Sequence[str] | None = None,
) -> list[str]:
    """The role of each row, the same for all rows of one group.

    Without ``strata`` a group's role depends on its name and ``seed`` alone: the order of the rows
    does not matter, groups added later change nothing, and the fractions of groups are met on
    average. With ``strata`` (the class of each row) they are met within each class as closely as
    whole groups allow, and neither does the order matter; a group of several classes counts in
    the first of them by name.

    fractions: share of the groups for each role, adding up to 1.

    Raises
    ------
    InputError: the fractions do not add up to 1, a group is empty, or ``strata`` has another
        length than ``groups``.
    """
    if strata is not None and len(strata) != len(groups):
        raise InputError(f"{len(groups)} groups and {len(strata)} strata", expected="as many")
    if "" in groups:
        row = list(groups).index("")
        raise InputError(f"row {row} has no group", expected="a group for every row")
    return roles_by_group(groups, fractions, seed, strata)
