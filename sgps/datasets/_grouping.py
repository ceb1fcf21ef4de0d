"""Roles by group: decided by a hash, so that row order does not matter."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

from sgps.errors import InputError


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raise InputError unless the fractions are at least 0 and add up to 1."""
    values = list(fractions.values())
    in_range = all(math.isfinite(value) and value >= 0 for value in values)
    if not values or not in_range or abs(sum(values) - 1) > 1e-6:
        raise InputError(
            f"role fractions {dict(fractions)}",
            expected="numbers of at least 0 that add up to 1",
        )


def roles_by_group(
    groups: Sequence[str],
    fractions: Mapping[str, float],
    seed: int,
    strata: Sequence[str] | None = None,
) -> list[str]:
    """The role of each row; rows of one group have one role.

    Without ``strata`` the role of a group depends on its name and ``seed`` alone, so the shares
    are met on average and stay when groups are added. With ``strata`` (a class per row) the shares
    are met within each stratum, to the rounding; a group in several counts in its first by name.
    """
    check_fractions(fractions)
    if strata is None:
        chosen = {group: role_at(group_position(group, seed), fractions) for group in set(groups)}
    else:
        chosen = _within_strata(groups, fractions, seed, strata)
    return [chosen[group] for group in groups]


def _within_strata(
    groups: Sequence[str], fractions: Mapping[str, float], seed: int, strata: Sequence[str]
) -> dict[str, str]:
    stratum_of: dict[str, str] = {}
    for group, stratum in zip(groups, strata, strict=True):
        stratum_of[group] = min(stratum, stratum_of.get(group, stratum))
    members: dict[str, list[str]] = {}
    for group, stratum in stratum_of.items():
        members.setdefault(stratum, []).append(group)
    chosen: dict[str, str] = {}
    for names in members.values():
        ordered = sorted(names, key=lambda group: (group_position(group, seed), group))
        for rank, group in enumerate(ordered):
            chosen[group] = role_at((rank + 0.5) / len(ordered), fractions)
    return chosen


def group_position(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on ``group`` and ``seed`` alone."""
    digest = hashlib.sha256(f"{seed}\x00{group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def role_at(position: float, fractions: Mapping[str, float]) -> str:
    """The role whose share of [0, 1), in the order of ``fractions``, holds ``position``."""
    upper = 0.0
    chosen = ""
    for role, fraction in fractions.items():
        if fraction <= 0:
            continue
        chosen = role
        upper += fraction
        if position < upper:
            break
    return chosen
