"""Few-shot tasks drawn from pools: pure functions of the pools, the spec, a seed and a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sgps.episodes._draws import Draws
from sgps.episodes.pools import ClassPool, GroupRows
from sgps.errors import InputError

_ATTEMPTS = 100


@dataclass(frozen=True)
class EpisodeSpec:
    """The shape of episodes.

    n_way: classes, from 2 on. k_shot: support images a class, from 1 on. Either may be a range
    (low, high), both included, drawn anew for each episode; with ``unequal_shots`` the shots are
    drawn for each class. n_query: query images a class at most; a class with fewer groups left
    gives fewer, but at least 1.

    Raises InputError where a number is out of range.
    """

    n_way: int | tuple[int, int]
    k_shot: int | tuple[int, int]
    n_query: int
    unequal_shots: bool = False

    def __post_init__(self) -> None:
        for name, (low, high), least in (
            ("n_way", self.way_range, 2),
            ("k_shot", self.shot_range, 1),
            ("n_query", (self.n_query, self.n_query), 1),
        ):
            if not least <= low <= high:
                raise InputError(
                    f"{name} {getattr(self, name)}", expected=f"at least {least}, as low <= high"
                )

    @property
    def way_range(self) -> tuple[int, int]:
        """Lowest and highest count of classes."""
        return _as_range(self.n_way)

    @property
    def shot_range(self) -> tuple[int, int]:
        """Lowest and highest count of support images a class."""
        return _as_range(self.k_shot)


@dataclass(frozen=True)
class Episode:
    """One task: row numbers of its domain's frame, class by class in the order of ``classes``.

    No group is in both ``support`` and ``query``, whatever its class. seed: for whatever else is
    random about the episode, below 2**53.
    """

    domain: str
    classes: tuple[str, ...]
    support: tuple[tuple[int, ...], ...]
    query: tuple[tuple[int, ...], ...]
    seed: int

    @property
    def n_way(self) -> int:
        """Count of classes."""
        return len(self.classes)

    @property
    def shots(self) -> tuple[int, ...]:
        """Count of support images of each class."""
        return tuple(len(rows) for rows in self.support)


def sample_episode(
    pools: Sequence[ClassPool], spec: EpisodeSpec, *, seed: int, number: int
) -> Episode:
    """Draw episode ``number`` of the series ``seed``.

    Among several pools one is drawn in proportion to the square root of its count of classes;
    pools too small for ``spec`` are passed over. Ways and shots above what the drawn pool has are
    not drawn. Each image of a class comes from a group of its own.

    Raises
    ------
    InputError: no pool has enough classes with enough groups (the message names both numbers), or
        ``seed`` or ``number`` is negative.
    """
    if seed < 0 or number < 0:
        raise InputError(f"seed {seed}, number {number}", expected="numbers of at least 0")
    fitting = [pool for pool in pools if _most_shots(pool, spec) > 0]
    if not fitting:
        raise _too_small(pools, spec)
    draws = Draws(seed, number)
    pool = fitting[draws.weighted([math.sqrt(len(pool.labels)) for pool in fitting])]
    for _ in range(_ATTEMPTS):
        episode = _draw_episode(pool, spec, draws)
        if episode is not None:
            return episode
    raise InputError(
        f"domain {pool.domain}: its classes share so many groups that support and query cannot "
        f"be kept apart (after {_ATTEMPTS} draws)",
        expected="groups of one class each",
        remedy="ask for fewer ways or shots",
    )


def sample_episodes(
    pools: Sequence[ClassPool], spec: EpisodeSpec, *, count: int, seed: int
) -> list[Episode]:
    """Episodes 0 to ``count - 1`` of the series ``seed``; see :func:`sample_episode`."""
    return [sample_episode(pools, spec, seed=seed, number=number) for number in range(count)]


def _draw_episode(pool: ClassPool, spec: EpisodeSpec, draws: Draws) -> Episode | None:
    """One episode, or None where classes that share groups leave one of them short."""
    own_seed = draws.integer(0, 2**53 - 1)
    low_way, high_way = spec.way_range
    low_shot, _ = spec.shot_range
    most_shots = _most_shots(pool, spec)
    shots = low_shot if spec.unequal_shots else draws.integer(low_shot, most_shots)
    eligible = [place for place, count in enumerate(pool.group_counts) if count > shots]
    ways = draws.integer(low_way, min(high_way, len(eligible)))
    chosen = draws.shuffled(eligible)[:ways]
    support: list[tuple[int, ...]] = []
    query: list[tuple[int, ...]] = []
    side_of: dict[str, str] = {}
    for place in chosen:
        wanted = shots
        if spec.unequal_shots:
            wanted = draws.integer(low_shot, min(most_shots, pool.group_counts[place] - 1))
        groups = draws.shuffled(pool.groups_by_label[place])
        shown = _take(groups, wanted, "support", side_of)
        asked = _take(groups, spec.n_query, "query", side_of)
        if len(shown) < wanted or not asked:
            return None
        support.append(tuple(draws.one_of(group.rows) for group in shown))
        query.append(tuple(draws.one_of(group.rows) for group in asked))
    labels = tuple(pool.labels[place] for place in chosen)
    return Episode(pool.domain, labels, tuple(support), tuple(query), own_seed)


def _take(
    groups: Sequence[GroupRows], count: int, side: str, side_of: dict[str, str]
) -> list[GroupRows]:
    """Up to ``count`` groups for one side, those that no other class uses first."""
    fresh = [group for group in groups if group.group not in side_of]
    reused = [group for group in groups if side_of.get(group.group) == side]
    taken = (fresh + reused)[:count]
    side_of.update((group.group, side) for group in taken)
    return taken


def _most_shots(pool: ClassPool, spec: EpisodeSpec) -> int:
    """The most shots, up to the spec's, for which the pool has enough classes; 0 for none."""
    low_way, _ = spec.way_range
    low_shot, high_shot = spec.shot_range
    if len(pool.labels) < low_way:
        return 0
    if spec.unequal_shots:
        enough = sum(count > low_shot for count in pool.group_counts) >= low_way
        return high_shot if enough else 0
    most = sorted(pool.group_counts, reverse=True)[low_way - 1] - 1
    return min(most, high_shot) if most >= low_shot else 0


def _too_small(pools: Sequence[ClassPool], spec: EpisodeSpec) -> InputError:
    low_way, low_shot = spec.way_range[0], spec.shot_range[0]
    if not pools:
        return InputError("no pools to draw episodes from", expected="at least one")
    found = {pool.domain: sum(count > low_shot for count in pool.group_counts) for pool in pools}
    best = max(found, key=lambda domain: found[domain])
    return InputError(
        f"{found[best]} classes with at least {low_shot + 1} groups in {best}"
        + (f", the most among {len(found)} domains" if len(found) > 1 else ""),
        expected=f"at least {low_way} for {low_way}-way {low_shot}-shot episodes",
        remedy="ask for fewer ways or shots, or add images",
    )


def _as_range(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
