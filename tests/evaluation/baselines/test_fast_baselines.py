"""What every baseline without iterative training keeps to."""

import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest
from frozen_example import drawn_episode, drawn_support, untrained_base
from hypothesis import given, settings
from hypothesis import strategies as st

from sgps.errors import InputError
from sgps.evaluation.baselines import build_baselines
from sgps.evaluation.baselines.frozen import FrozenBaseline
from sgps.evaluation.baselines.space import Support

ALL_FAST = build_baselines("fast", [untrained_base()])
METHODS = [method for method in ALL_FAST if isinstance(method, FrozenBaseline)]
each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.label)
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


def test_names_are_base_and_baseline():
    names = [method.name for method in ALL_FAST]
    assert names == [
        "public/nearest_centroid",
        "public/cosine_centroid",
        "public/centred_cosine_centroid",
        "public/lda",
        "public/lda_text",
        "public/simple_cnaps",
        "public/logistic_regression",
        "public/ridge_last",
        "public/ridge_taps",
        "public/ridge_taps_text",
        "public/tip_adapter",
        "public/easyfsl_protonet",
        "public/easyfsl_simpleshot",
    ]
    meta = build_baselines("fast", [untrained_base("meta")])
    assert [method.name for method in meta] == [name.replace("public", "meta") for name in names]
    both = build_baselines("fast", [untrained_base(), untrained_base("meta")])
    assert [method.name for method in both] == [*names, *(method.name for method in meta)]


def test_none_and_unknown():
    assert build_baselines("none", [untrained_base()]) == ()
    with pytest.raises(InputError, match="none, fast or all"):
        build_baselines("some", [untrained_base()])


def test_all_adds_the_iterative_ones():
    methods = build_baselines("all", [untrained_base()])
    names = [method.name for method in methods]
    assert names[: len(METHODS)] == [method.name for method in METHODS]
    assert len(names) == len(set(names)) > len(METHODS)


@each_method
def test_gives_probabilities(method):
    episode = drawn_episode()
    prediction = method.predict(episode)
    assert prediction.probs_QN.shape == (9, 3)
    assert prediction.probs_QN.dtype == np.float64
    np.testing.assert_allclose(prediction.probs_QN.sum(1), 1)
    assert prediction.familiarity_Q.shape == (9,)
    assert np.isfinite(prediction.familiarity_Q).all()
    np.testing.assert_array_equal(method.predict(episode).probs_QN, prediction.probs_QN)


@each_method
def test_tells_bright_channels_apart(method):
    prediction = method.predict(drawn_episode(shots=(5, 5, 5)))
    assert (prediction.probs_QN.argmax(1) == np.repeat([0, 1, 2], 3)).mean() > 0.6


@each_method
def test_order_of_the_support_changes_nothing(method):
    episode = drawn_episode(shots=(3, 1, 4))
    turned = replace(episode, support_rows=tuple(rows[::-1] for rows in episode.support_rows))
    expected = method.predict(episode)
    prediction = method.predict(turned)
    np.testing.assert_allclose(prediction.probs_QN, expected.probs_QN, **TOLERANCE)
    np.testing.assert_allclose(prediction.familiarity_Q, expected.familiarity_Q, **TOLERANCE)


@each_method
@pytest.mark.parametrize("shots", [(1, 2, 4), (3, 2)])
def test_order_of_the_classes_is_that_of_the_answer(method, shots):
    episode = drawn_episode(shots=shots)
    order = np.roll(np.arange(len(shots)), 1)
    turned = replace(
        episode,
        class_names=tuple(episode.class_names[number] for number in order),
        support_rows=tuple(episode.support_rows[number] for number in order),
    )
    expected = method.predict(episode)
    prediction = method.predict(turned)
    np.testing.assert_allclose(prediction.probs_QN, expected.probs_QN[:, order], **TOLERANCE)
    np.testing.assert_allclose(prediction.familiarity_Q, expected.familiarity_Q, **TOLERANCE)


@each_method
def test_each_query_is_scored_on_its_own(method):
    episode = drawn_episode()
    together = method.predict(episode)
    for number in (0, 5):
        alone = method.predict(replace(episode, query_rows=episode.query_rows[[number]]))
        np.testing.assert_allclose(alone.probs_QN, together.probs_QN[[number]])
        np.testing.assert_allclose(alone.familiarity_Q, together.familiarity_Q[[number]])


@each_method
def test_queries_may_come_from_altered_copies(method):
    episode = drawn_episode()
    dark = episode.pool // 4
    altered = method.predict(replace(episode, query_pool=dark))
    assert not np.allclose(altered.probs_QN, method.predict(episode).probs_QN)
    same = method.predict(replace(episode, query_pool=episode.pool.copy()))
    np.testing.assert_allclose(same.probs_QN, method.predict(episode).probs_QN, **TOLERANCE)


@each_method
def test_one_image_as_every_class_gives_even_odds(method):
    episode = drawn_episode(shots=(1, 1, 1))
    even = replace(episode, support_rows=(episode.support_rows[0],) * 3)
    np.testing.assert_allclose(method.predict(even).probs_QN, 1 / 3, atol=1e-6)


@each_method
@pytest.mark.parametrize("views", [1, 4])
def test_any_number_of_views_and_one_shot(method, views):
    probs_QN = replace(method, views=views).predict(drawn_episode(shots=(1, 1, 1))).probs_QN
    assert np.isfinite(probs_QN).all()


@each_method
def test_times_count_the_encoding(method):
    episode = drawn_episode()
    prediction = method.predict(episode)
    encoding = untrained_base().seconds_per_image
    assert prediction.seconds > 6 * method.views * encoding > 0
    assert prediction.query_seconds > 9 * encoding


@each_method
def test_fit_is_quick(method):
    """Processor time of a fit at 5-way 5-shot with the widths of Lite0."""
    rng = np.random.default_rng(0)
    labels_R = np.tile(np.repeat(np.arange(5), 5), method.views)
    taps = tuple(
        rng.normal(size=(len(labels_R), width)) + rng.normal(size=(5, width))[labels_R]
        for width in untrained_base().widths
    )
    support = Support(taps, labels_R, 5, method.views)
    seconds = []
    for _ in range(6):
        start = time.process_time()
        method.fit(support)
        seconds.append(time.process_time() - start)
    assert min(seconds) < (0.04 if method.label == "logistic_regression" else 0.01)


def test_details_say_what_defines_a_method():
    seen = set()
    for method in METHODS:
        details = method.details()
        text = json.dumps(details, sort_keys=True, allow_nan=False)
        assert details["base_version"] == "0" * 64
        assert details["views"] == method.views
        assert ("text_encoder_version" in details) == bool(method.text_weight)
        changed = replace(method, temperatures=(2.5, 2.5))
        assert changed.details() != details
        seen.add((method.label, text))
    assert len(seen) == len(METHODS)


def test_temperature_between_one_and_five_shots():
    method = replace(METHODS[0], temperatures=(8.0, 2.0), views=1)
    shots_and_temperature = {(1, 1, 1): 8.0, (5, 5, 5): 2.0, (6, 6, 6): 2.0}
    between = 8 * (2 / 8) ** (math.log(2) / math.log(5))
    for shots, temperature in {**shots_and_temperature, (1, 2, 3): between}.items():
        scores = method.score(drawn_episode(shots=shots))
        assert scores.shots == sum(shots) / 3
        np.testing.assert_allclose(method.temper(scores), scores.logits_QN / temperature)


def test_familiarity_is_the_highest_probability_or_logit():
    episode = drawn_episode()
    likely = replace(METHODS[0], familiarity="probability").predict(episode)
    np.testing.assert_array_equal(likely.familiarity_Q, likely.probs_QN.max(1))
    method = replace(METHODS[0], familiarity="logit")
    logits_QN = method.score(episode).logits_QN
    np.testing.assert_array_equal(method.predict(episode).familiarity_Q, logits_QN.max(1))


@each_method
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), counts=st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_scores_do_not_depend_on_the_unit_of_the_features(method, seed, counts):
    support, queries = drawn_support(tuple(counts), seed=seed)
    scaled = Support(tuple(tap * 50 for tap in support.taps), support.class_R, support.n_way)
    logits_QN = method.fit(support)(queries)
    scaled_QN = method.fit(scaled)(tuple(tap * 50 for tap in queries))
    assert np.isfinite(logits_QN).all()
    np.testing.assert_allclose(scaled_QN, logits_QN, rtol=1e-3, atol=1e-3)
