from __future__ import annotations

import numpy as np
import pytest
from example_suite import build_suite
from hypothesis import given, settings
from hypothesis import strategies as st

from sgps.evaluation import bars

SMALL = st.floats(-0.3, 0.3, allow_nan=False)


def a_setting(differences, *, name="ISIC-FS", shots=1, episodes=600):
    """SGPS at 0.7, and methods whose differences (mean, low, high) are given."""
    return {
        "settings": {
            "name": name,
            "dataset": "ham10000",
            "n_way": 3,
            "k_shot": shots,
            "episodes": episodes,
        },
        "methods": {
            "sgps": {"accuracy": {"mean": 0.7}},
            **{method: {"accuracy": {"mean": 0.7 - d[0]}} for method, d in differences.items()},
        },
        "paired": {
            method: dict(zip(("difference", "low", "high"), d, strict=True))
            for method, d in differences.items()
        },
    }


@pytest.mark.parametrize(
    ("difference", "verdict", "strict", "lenient", "clear"),
    [
        ((0.02, 0.01, 0.03), bars.CLEARLY_ABOVE, True, True, True),
        ((0.0, 0.0, 0.0), bars.AT_LEAST_EQUAL, True, True, False),
        ((0.01, -0.001, 0.021), bars.NOT_BELOW, False, True, False),
        ((-0.01, -0.02, 0.0), bars.NOT_BELOW, False, True, False),
        ((-0.02, -0.03, -0.01), bars.BELOW, False, False, False),
    ],
)
def test_readings_of_one_interval(difference, verdict, strict, lenient, clear):
    standing = bars.judge_setting(a_setting({"public/ridge": difference}))
    assert standing.verdict == verdict
    assert (standing.strict, standing.lenient, standing.clearly_above) == (strict, lenient, clear)


def test_the_best_baseline_is_the_hardest_on_either_base_and_never_an_ablation():
    setting = a_setting(
        {
            "public/ridge": (0.03, 0.02, 0.04),
            "meta/ridge": (0.01, 0.005, 0.015),
            "meta/lda": (0.02, 0.01, 0.03),
            "sgps/no_text": (-0.01, -0.02, -0.005),
        }
    )
    assert bars.best_baseline(setting) == "meta/ridge"
    assert bars.best_baseline(setting, base="public") == "public/ridge"
    assert bars.leaders(setting) == ["sgps", "public/ridge", "meta/ridge"]
    assert bars.leaders(setting, having=lambda name: name != "meta/ridge") == [
        "sgps",
        "public/ridge",
        "meta/lda",
    ]
    assert bars.judge_setting(setting).verdict == bars.CLEARLY_ABOVE


def test_a_baseline_that_is_surely_better_counts_even_where_another_is_best():
    setting = a_setting({"public/few": (-0.03, -0.08, 0.02), "meta/many": (-0.02, -0.03, -0.01)})
    standing = bars.judge_setting(setting)
    assert standing.best == "public/few"
    assert standing.clearly_better == ("meta/many",)
    assert not standing.lenient
    assert standing.verdict == bars.BELOW


def test_nothing_is_clear_while_an_interval_to_another_baseline_reaches_below_0():
    few = ("public/maml", (0.006, -0.03, 0.042))
    standing = bars.judge_setting(a_setting(dict([("public/ridge", (0.005, 0.001, 0.009)), few])))
    assert standing.best == "public/ridge"
    assert standing.lowest == -0.03
    assert standing.verdict == bars.NOT_BELOW
    assert (standing.strict, standing.lenient, standing.clearly_above) == (False, True, False)


def test_a_method_on_fewer_episodes_is_compared_on_those():
    suite = build_suite()
    setting = suite["settings"][0]
    assert bars.difference_to(setting, "meta/fine_tuning").episodes == 60
    assert bars.difference_to(setting, "meta/lda").episodes == 600
    easy = a_setting({"public/easy": (0.05, 0.04, 0.06), "public/hard": (0.01, 0.0, 0.02)})
    easy["methods"]["public/easy"]["accuracy"]["mean"] = 0.99  # on a few easy episodes
    assert bars.best_baseline(easy) == "public/hard"


def test_without_sgps_or_baselines_nothing_is_judged():
    alone = a_setting({"sgps/no_text": (0.01, 0.005, 0.015)})
    standing = bars.judge_setting(alone)
    assert (standing.best, standing.difference) == (None, None)
    assert standing.verdict == bars.NOT_JUDGED
    assert (standing.strict, standing.lenient, standing.clearly_above) == (False, False, False)
    assert set(bars.count_verdicts([standing]).values()) == {0}


@pytest.mark.parametrize(
    ("name", "shots", "wanted"),
    [("ISIC-FS", 1, True), ("RareDerm-FS", 5, True), ("ISIC-FS", 3, False), ("Blood", 1, False)],
)
def test_where_the_bar_asks_for_more(name, shots, wanted):
    setting = a_setting({"public/ridge": (0.02, 0.01, 0.03)}, name=name, shots=shots)
    assert bars.judge_setting(setting).clear_wanted is wanted


def test_the_example_has_every_verdict_and_counts_add_up():
    standings = bars.judge_suite(build_suite())
    assert [standing.verdict for standing in standings] == [
        bars.CLEARLY_ABOVE,
        bars.CLEARLY_ABOVE,
        bars.NOT_BELOW,
        bars.CLEARLY_ABOVE,
        bars.CLEARLY_ABOVE,
        bars.BELOW,
    ]
    assert bars.count_verdicts(standings) == {
        "settings": 6,
        "strict": 4,
        "lenient": 5,
        "clearly_above": 4,
        "below": 1,
        "clear_wanted": 4,
        "clear_met": 3,
    }


@settings(deadline=None)
@given(st.lists(st.tuples(SMALL, st.floats(0, 0.2)), min_size=1, max_size=6))
def test_readings_imply_each_other(pairs):
    differences = {
        f"public/{number}": (mean, mean - half, mean + half)
        for number, (mean, half) in enumerate(pairs)
    }
    standing = bars.judge_setting(a_setting(differences))
    assert standing.difference.mean == min(mean for mean, _ in pairs)
    assert standing.strict or not standing.clearly_above
    assert standing.lenient or not standing.strict
    assert (standing.verdict == bars.BELOW) is not standing.lenient


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=8, unique=True))
def test_on_the_same_episodes_the_best_is_the_most_accurate(thousandths):
    accuracies = np.array(thousandths) / 1000
    differences = {
        f"meta/{number}": (0.7 - accuracy, 0.6 - accuracy, 0.8 - accuracy)
        for number, accuracy in enumerate(accuracies)
    }
    assert bars.best_baseline(a_setting(differences)) == f"meta/{accuracies.argmax()}"


def test_parts_are_worth_what_sgps_loses_without_them():
    worth = bars.worth_of_parts(build_suite())
    assert list(worth) == ["sgps/no_text", "sgps/no_body", "sgps/no_head", "sgps/no_bias"]
    assert all(len(measured) == 6 for measured in worth.values())
    assert bars.is_worth_something(worth["sgps/no_head"])
    assert not bars.is_worth_something(worth["sgps/no_bias"])


@pytest.mark.parametrize(
    ("name", "base", "label", "full"),
    [
        ("sgps", "", "SGPS", "SGPS"),
        ("sgps/no_text", "", "no text", "no text"),
        ("meta/simple_cnaps", "meta", "simple CNAPs", "simple CNAPs, meta-trained base"),
        ("public/lda", "public", "LDA", "LDA, public base"),
        ("incumbent", "", "incumbent", "incumbent"),
    ],
)
def test_names_for_readers(name, base, label, full):
    assert (bars.base_of(name), bars.method_label(name)) == (base, label)
    assert bars.full_label(name) == full


def test_figures_for_readers():
    assert bars.share_text({"mean": 0.5951, "low": 0.58, "high": 0.61}) == "59.5 ± 1.5"
    difference = bars.Difference(-0.0012, -0.0049, 0.0029, 60)
    assert bars.difference_text(difference) == "-0.1 [-0.5, +0.3]"


def test_subgroups_are_kept_together_by_attribute():
    setting = a_setting({})
    setting["subgroups"] = {
        "sgps": {"sex": {"female": {}}, "age": {"60+": {}}},
        "meta/lda": {"sex": {"male": {}}},
    }
    assert bars.subgroups_of(setting) == [("sex", "female"), ("sex", "male"), ("age", "60+")]
