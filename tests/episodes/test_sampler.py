from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgps.episodes import ClassPool, Episode, EpisodeSpec, sample_episode, sample_episodes
from sgps.errors import InputError, UnknownNameError


def make_frame(classes: int = 6, groups: int = 8, images: int = 2) -> pd.DataFrame:
    rows = [
        {
            "file": f"{label}-{group}-{image}.png",
            "label": f"c{label}",
            "group": f"g{label}-{group}",
            "role": "meta_train" if label < 4 else "novel_test",
        }
        for label in range(classes)
        for group in range(groups)
        for image in range(images)
    ]
    return pd.DataFrame(rows)


def assert_sound(episode: Episode, frame: pd.DataFrame, spec: EpisodeSpec) -> None:
    low_way, high_way = spec.way_range
    low_shot, high_shot = spec.shot_range
    assert low_way <= episode.n_way <= high_way
    assert len(set(episode.classes)) == episode.n_way
    assert len(episode.support) == len(episode.query) == episode.n_way
    if not spec.unequal_shots:
        assert len(set(episode.shots)) == 1
    groups, labels = frame["group"].tolist(), frame["label"].tolist()
    shown, asked = set(), set()
    for label, support, query in zip(episode.classes, episode.support, episode.query, strict=True):
        assert low_shot <= len(support) <= high_shot
        assert 1 <= len(query) <= spec.n_query
        assert {labels[row] for row in support + query} == {label}
        assert len({groups[row] for row in support + query}) == len(support) + len(query)
        shown |= {groups[row] for row in support}
        asked |= {groups[row] for row in query}
    assert not shown & asked


@st.composite
def ranges(draw, least: int, most: int):
    low = draw(st.integers(least, most))
    return (low, draw(st.integers(low, most))) if draw(st.booleans()) else low


@st.composite
def frames(draw) -> pd.DataFrame:
    """Any mixture of classes and groups; some groups in several classes."""
    size = draw(st.integers(20, 120))
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, draw(st.integers(2, 6)), size)
    own = rng.integers(0, draw(st.integers(4, 40)), size)
    shared = rng.random(size) < draw(st.sampled_from([0.0, 0.3]))
    groups = np.where(shared, 1000 + own, own * 10 + labels)
    return pd.DataFrame(
        {
            "file": [f"{row}.png" for row in range(size)],
            "label": [f"c{label}" for label in labels],
            "group": [f"g{group}" for group in groups],
            "role": "meta_train",
        }
    )


@settings(max_examples=150)
@given(
    frames(),
    ranges(2, 5),
    ranges(1, 6),
    st.integers(1, 8),
    st.booleans(),
    st.integers(0, 2**63),
    st.integers(0, 10**6),
)
def test_every_episode_is_sound(frame, n_way, k_shot, n_query, unequal, seed, number) -> None:
    spec = EpisodeSpec(n_way, k_shot, n_query, unequal_shots=unequal)
    try:
        pool = ClassPool.from_frame(frame, domain="d")
        episode = sample_episode([pool], spec, seed=seed, number=number)
    except InputError:
        return
    assert_sound(episode, frame, spec)
    assert episode == sample_episode([pool], spec, seed=seed, number=number)


@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(number: int, random) -> None:
    frame = make_frame()
    order = list(range(len(frame)))
    random.shuffle(order)
    shuffled = frame.iloc[order].reset_index(drop=True)
    spec = EpisodeSpec((2, 4), (1, 3), 4, unequal_shots=True)

    def files(table: pd.DataFrame) -> list[list[str]]:
        pool = ClassPool.from_frame(table, domain="d")
        episode = sample_episode([pool], spec, seed=5, number=number)
        return [[table["file"][row] for row in rows] for rows in episode.support + episode.query]

    assert files(frame) == files(shuffled)


def test_golden_episode() -> None:
    pool = ClassPool.from_frame(make_frame(), domain="d")
    spec = EpisodeSpec(3, 2, 2)
    assert sample_episode([pool], spec, seed=2024, number=7) == Episode(
        domain="d",
        classes=("c5", "c2", "c3"),
        support=((95, 91), (40, 33), (61, 54)),
        query=((86, 93), (46, 43), (49, 51)),
        seed=5167670509183518,
    )


def test_series_are_made_of_numbered_episodes_and_differ_by_seed() -> None:
    pool = ClassPool.from_frame(make_frame(), domain="d")
    spec = EpisodeSpec(3, 1, 3)
    series = sample_episodes([pool], spec, count=20, seed=1)
    assert series[13] == sample_episode([pool], spec, seed=1, number=13)
    assert len(set(series)) == 20
    assert len({episode.seed for episode in series}) == 20
    assert not set(series) & set(sample_episodes([pool], spec, count=20, seed=2))


def test_ranges_are_used_to_their_ends() -> None:
    pool = ClassPool.from_frame(make_frame(), domain="d")
    series = sample_episodes([pool], EpisodeSpec((2, 5), (1, 4), 2), count=200, seed=0)
    assert {episode.n_way for episode in series} == {2, 3, 4, 5}
    assert {episode.shots[0] for episode in series} == {1, 2, 3, 4}
    unequal = sample_episodes([pool], EpisodeSpec(4, (1, 4), 2, True), count=100, seed=0)
    assert max(len(set(episode.shots)) for episode in unequal) > 1
    assert {shots for episode in unequal for shots in episode.shots} == {1, 2, 3, 4}


def test_classes_and_images_are_drawn_evenly() -> None:
    pool = ClassPool.from_frame(make_frame(), domain="d")
    series = sample_episodes([pool], EpisodeSpec(2, 1, 1), count=1500, seed=0)
    classes = Counter(label for episode in series for label in episode.classes)
    assert all(abs(count / 3000 - 1 / 6) < 0.03 for count in classes.values())
    rows = Counter(row for episode in series for (row,) in episode.support)
    assert len(rows) == 96
    assert max(rows.values()) < 4 * min(rows.values())


def test_domains_are_drawn_by_the_root_of_their_classes() -> None:
    large = ClassPool.from_frame(make_frame(classes=16), domain="large")
    small = ClassPool.from_frame(make_frame(classes=4), domain="small")
    tiny = ClassPool.from_frame(make_frame(classes=2), domain="tiny")
    spec = EpisodeSpec((3, 5), 1, 2)
    drawn = Counter(
        episode.domain for episode in sample_episodes([large, small, tiny], spec, count=900, seed=0)
    )
    assert set(drawn) == {"large", "small"}
    assert abs(drawn["large"] / 900 - 2 / 3) < 0.06


def test_a_small_domain_limits_ways_and_shots_and_queries() -> None:
    pool = ClassPool.from_frame(make_frame(classes=3, groups=4), domain="d")
    for episode in sample_episodes([pool], EpisodeSpec((2, 9), (1, 9), 5), count=50, seed=0):
        assert episode.n_way <= 3
        assert episode.shots[0] <= 3
        assert {len(rows) for rows in episode.query} == {4 - episode.shots[0]}


def test_too_few_classes_or_groups_name_both_numbers() -> None:
    pool = ClassPool.from_frame(make_frame(classes=3, groups=4), domain="small")
    message = "3 classes with at least 2 groups in small; expected at least 5 for 5-way 1-shot"
    with pytest.raises(InputError, match=message):
        sample_episode([pool], EpisodeSpec(5, 1, 1), seed=0, number=0)
    message = "0 classes with at least 5 groups in small; expected at least 2 for 2-way 4-shot"
    with pytest.raises(InputError, match=message):
        sample_episode([pool], EpisodeSpec(2, 4, 1), seed=0, number=0)
    other = ClassPool.from_frame(make_frame(classes=2), domain="other")
    with pytest.raises(InputError, match="the most among 2 domains"):
        sample_episode([pool, other], EpisodeSpec(5, 1, 1), seed=0, number=0)
    with pytest.raises(InputError, match="no pools"):
        sample_episode([], EpisodeSpec(2, 1, 1), seed=0, number=0)


def test_classes_of_the_same_groups_are_kept_apart_or_refused() -> None:
    rows = [
        {"file": f"{label}{group}", "label": label, "group": f"g{group}", "role": "meta_train"}
        for label in "ab"
        for group in range(4)
    ]
    frame = pd.DataFrame(rows)
    pool = ClassPool.from_frame(frame, domain="d")
    spec = EpisodeSpec(2, 2, 2)
    for number in range(30):
        assert_sound(sample_episode([pool], spec, seed=0, number=number), frame, spec)
    opposed = pd.DataFrame(
        {
            "file": list("uvwxyz"),
            "label": ["a", "a", "b", "b", "c", "c"],
            "group": ["1", "2", "2", "3", "3", "1"],
            "role": "meta_train",
        }
    )
    pool = ClassPool.from_frame(opposed, domain="knot")
    with pytest.raises(InputError, match="domain knot: its classes share so many groups"):
        sample_episode([pool], EpisodeSpec(3, 1, 1), seed=0, number=0)


def test_negative_seeds_are_refused() -> None:
    pool = ClassPool.from_frame(make_frame(), domain="d")
    with pytest.raises(InputError, match="seed -1, number 0"):
        sample_episode([pool], EpisodeSpec(2, 1, 1), seed=-1, number=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_way": 1}, "n_way 1; expected at least 2"),
        ({"k_shot": 0}, "k_shot 0; expected at least 1"),
        ({"n_query": 0}, "n_query 0"),
        ({"n_way": (5, 2)}, r"n_way \(5, 2\).*low <= high"),
    ],
)
def test_wrong_specs_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EpisodeSpec(**{"n_way": 2, "k_shot": 1, "n_query": 1, **values})


def test_pools_choose_by_role_label_and_groups() -> None:
    frame = make_frame()
    assert ClassPool.from_frame(frame, domain="d").labels == tuple(f"c{n}" for n in range(6))
    novel = ClassPool.from_frame(frame, domain="d", roles=["novel_test"])
    assert novel.labels == ("c4", "c5")
    assert novel.group_counts == (8, 8)
    rows = {row for groups in novel.groups_by_label for group in groups for row in group.rows}
    assert set(frame["role"].iloc[sorted(rows)]) == {"novel_test"}
    assert ClassPool.from_frame(frame, domain="d", labels=["c3", "c1"]).labels == ("c1", "c3")
    with pytest.raises(InputError, match="no class of role novel_val to draw from"):
        ClassPool.from_frame(frame, domain="d", roles=["novel_val"])
    with pytest.raises(InputError, match="no class to draw from"):
        ClassPool.from_frame(frame, domain="d", min_groups=9)
    with pytest.raises(InputError, match="class 'c1' has 8 groups; expected at least 9"):
        ClassPool.from_frame(frame, domain="d", labels=["c1"], min_groups=9)
    with pytest.raises(UnknownNameError, match="no images of class 'wart'; expected one of c0"):
        ClassPool.from_frame(frame, domain="d", labels=["wart"])


def test_row_numbers_are_positions_whatever_the_index() -> None:
    frame = make_frame()
    relabelled = frame.set_index(pd.Index(range(1000, 1000 + len(frame))))
    assert ClassPool.from_frame(relabelled, domain="d") == ClassPool.from_frame(frame, domain="d")
