import numpy as np
import pandas as pd
import pytest

from sgps.evaluation.intervals import pooled_share
from sgps.evaluation.subgroups import AGE_BANDS, SEXES, SKIN_TYPES, Subgroups


def groups_of(subgroups: Subgroups, attribute: str) -> list[str]:
    names = (*subgroups.names[attribute], "")
    return [names[code] for code in subgroups.codes[attribute]]


def test_groups_by_hand():
    frame = pd.DataFrame(
        {
            "sex": ["female", "M", " F ", "Male", "", "unknown"],
            "age": [0, 29.9, 30, 59, 60, np.nan],
            "extra": [
                "fitzpatrick=1",
                "lesion_id=3; fitzpatrick=2.0;biopsed=True",
                "biopsed=True;fitzpatrick=4",
                "fitzpatrick=6.0",
                "fitzpatrick=;biopsed=False",
                "nofitzpatrick=3;fitzpatrick=9",
            ],
        }
    )
    subgroups = Subgroups.from_frame(frame)
    assert groups_of(subgroups, "sex") == ["female", "male", "female", "male", "", ""]
    assert groups_of(subgroups, "age") == ["0-29", "0-29", "30-59", "30-59", "60+", ""]
    assert groups_of(subgroups, "skin_type") == ["I-II", "I-II", "III-IV", "V-VI", "", ""]


def test_what_is_known_of_nobody_is_left_out():
    frame = pd.DataFrame({"sex": ["", ""], "age": [np.nan, 4.0], "extra": ["a=1", ""]})
    assert set(Subgroups.from_frame(frame).names) == {"age"}
    assert Subgroups.from_frame(pd.DataFrame({"label": ["a"]})).names == {}


def test_shares_agree_with_a_table_of_all_queries():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "group": rng.choice(list("abcdefghij"), 60),
            "sex": rng.choice(["male", "female", ""], 60),
            "age": rng.choice([10.0, 40.0, 70.0, np.nan], 60),
            "extra": [f"fitzpatrick={kind}" for kind in rng.integers(1, 7, 60)],
        }
    )
    subgroups = Subgroups.from_frame(frame)
    rows_EQ = rng.integers(0, 60, (12, 9))
    hits_EQ = rng.integers(0, 2, (12, 9)).astype(float)
    counted = [subgroups.count(*episode) for episode in zip(rows_EQ, hits_EQ, strict=True)]
    measured = subgroups.shares(counted, rows_EQ.ravel())
    assert set(measured["age"]) == set(AGE_BANDS)
    assert set(measured["skin_type"]) == set(SKIN_TYPES)
    for sex in SEXES:
        chosen_EQ = (frame["sex"] == sex).to_numpy()[rows_EQ]
        expected = pooled_share((hits_EQ * chosen_EQ).sum(1), chosen_EQ.sum(1))
        figures = measured["sex"][sex]
        assert (figures["mean"], figures["low"], figures["high"]) == pytest.approx(expected)
        assert figures["queries"] == chosen_EQ.sum()
        asked = frame.iloc[sorted(set(rows_EQ[chosen_EQ]))]
        assert figures["images"] == len(asked) < chosen_EQ.sum()
        assert figures["groups"] == asked["group"].nunique() < len(asked)


def test_groups_of_one_episode_are_left_out():
    subgroups = Subgroups.from_frame(pd.DataFrame({"sex": ["male", "female"]}))
    both = subgroups.count(np.array([0, 1]), np.ones(2))
    one = subgroups.count(np.array([1]), np.ones(1))
    shares = subgroups.shares([both, one], np.array([0, 1, 1]))
    assert set(shares["sex"]) == {"female"}
    assert subgroups.shares([both], np.array([0, 1])) == {}


def test_without_groups_each_image_is_of_another():
    subgroups = Subgroups.from_frame(pd.DataFrame({"sex": ["male"] * 3}))
    rows = np.array([0, 2])
    counted = [subgroups.count(rows, np.ones(2))] * 5
    male = subgroups.shares(counted, np.tile(rows, 5))["sex"]["male"]
    assert (male["queries"], male["images"], male["groups"]) == (10, 2, 2)
