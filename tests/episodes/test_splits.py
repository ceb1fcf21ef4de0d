from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgps.episodes import split_by_group
from sgps.errors import InputError

FRACTIONS = {"meta_train": 0.6, "meta_val": 0.25, "novel_test": 0.15}
group_names = st.lists(st.text("abcdef", min_size=1, max_size=2), max_size=60)
seeds = st.integers(0, 2**40)


@given(group_names, seeds, st.booleans(), st.randoms(use_true_random=False))
def test_no_group_has_two_roles_whatever_the_order(groups, seed, stratified, random) -> None:
    rows = [(group, random.choice("xyz")) for group in groups]
    strata = [stratum for _, stratum in rows] if stratified else None
    roles = split_by_group(groups, FRACTIONS, seed, strata=strata)
    role_of = dict(zip(groups, roles, strict=True))
    assert [role_of[group] for group in groups] == roles
    assert set(roles) <= set(FRACTIONS)
    random.shuffle(rows)
    shuffled = split_by_group(
        [group for group, _ in rows],
        FRACTIONS,
        seed,
        strata=[stratum for _, stratum in rows] if stratified else None,
    )
    assert shuffled == [role_of[group] for group, _ in rows]


@given(group_names, group_names, seeds)
def test_new_groups_leave_the_old_where_they_were(old, new, seed) -> None:
    before = split_by_group(old, FRACTIONS, seed)
    assert split_by_group(old + new, FRACTIONS, seed)[: len(old)] == before


def test_fractions_are_met_on_average() -> None:
    roles = Counter(split_by_group([f"g{number}" for number in range(4000)], FRACTIONS, 0))
    for role, fraction in FRACTIONS.items():
        assert abs(roles[role] / 4000 - fraction) < 0.03


def test_strata_meet_the_fractions_each() -> None:
    groups = [f"g{number}" for number in range(60)]
    strata = ["rare" if number < 20 else "common" for number in range(60)]
    roles = split_by_group(groups, FRACTIONS, 3, strata=strata)
    rare = Counter(role for role, stratum in zip(roles, strata, strict=True) if stratum == "rare")
    assert rare == {"meta_train": 12, "meta_val": 5, "novel_test": 3}


def test_another_seed_gives_another_split() -> None:
    groups = [f"g{number}" for number in range(50)]
    assert split_by_group(groups, FRACTIONS, 0) != split_by_group(groups, FRACTIONS, 1)


def test_the_split_is_the_same_on_every_machine() -> None:
    halves = {"meta_train": 0.5, "meta_val": 0.5}
    roles = split_by_group(["a", "b", "c", "d", "e", "f"], halves, 7)
    assert "".join(role[5] for role in roles) == "tvtvvv"


@pytest.mark.parametrize(
    "fractions", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}, {"a": float("nan")}, {"a": float("inf")}]
)
def test_wrong_fractions_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(InputError, match="add up to 1"):
        split_by_group(["g"], fractions, 0)


def test_wrong_rows_are_refused() -> None:
    with pytest.raises(InputError, match="row 1 has no group"):
        split_by_group(["g", ""], {"a": 1.0}, 0)
    with pytest.raises(InputError, match="2 groups and 1 strata"):
        split_by_group(["g", "h"], {"a": 1.0}, 0, strata=["x"])


def test_a_role_of_fraction_zero_is_never_given() -> None:
    groups = [f"g{number}" for number in range(100)]
    assert set(split_by_group(groups, {"a": 0.0, "b": 1.0, "c": 0.0}, 0)) == {"b"}
