"""How descriptions enter; the map from definitions takes some seconds once."""

from dataclasses import replace

import numpy as np
import pytest
from frozen_example import drawn_episode, drawn_support, untrained_base
from sklearn.linear_model import Ridge

from sgps.evaluation.baselines.cache_model import TipAdapter
from sgps.evaluation.baselines.discriminants import LDA, LDAWithText
from sgps.evaluation.baselines.linear import RidgeTaps, RidgeTapsWithText
from sgps.evaluation.baselines.text import ZeroShot, fit_text_map, text_map_of

BASE = untrained_base()
LDA_TEXT, RIDGE_TEXT = LDAWithText(base=BASE), RidgeTapsWithText(base=BASE)
READERS = (LDA_TEXT, RIDGE_TEXT, TipAdapter(base=BASE))
TEXTS = ("a red apple", "", "green grass")
each_reader = pytest.mark.parametrize("method", READERS, ids=lambda method: method.label)


def test_text_map_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    texts_CF, weight_CD = rng.normal(size=(20, 4)), rng.normal(size=(20, 3))
    map_FD = fit_text_map(texts_CF, weight_CD, 5.0)
    np.testing.assert_allclose(map_FD, Ridge(alpha=5.0).fit(texts_CF, weight_CD).coef_.T)


def test_zero_shot_by_hand():
    support, _ = drawn_support((1, 1, 1), widths=(2,))
    texts_NF = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    zero_shot = ZeroShot.of(texts_NF, np.array([[4.0, 0.0], [0.0, 4.0]]), support)
    # the described texts lie (1/2, -1/2) and back from their mean; unit vectors after the map
    unit = 0.5**0.5
    np.testing.assert_allclose(zero_shot.weight_ND, [[unit, -unit], [0, 0], [-unit, unit]])
    centre_D = support.taps[0].mean(0)
    similarity_QN = zero_shot.similarity((centre_D + np.array([[3.0, 0.0]]),))
    np.testing.assert_allclose(similarity_QN, [[unit, 0, -unit]])


@pytest.mark.parametrize("described", [[], [1]])
def test_fewer_than_two_texts_say_nothing(described):
    support, queries = drawn_support((1, 1, 1))
    texts_NF = np.zeros((3, 2))
    texts_NF[described] = 1
    zero_shot = ZeroShot.of(texts_NF, np.ones((2, 4)), support)
    np.testing.assert_allclose(zero_shot.similarity(queries), 0)


def test_a_body_without_packaged_classifier_has_no_map():
    base = untrained_base()
    body = base.network.body
    known = body.pretrained_cfg
    body.pretrained_cfg = {**known, "architecture": "tf_efficientnet_b0"}
    try:
        assert text_map_of(body) is None
        unread = [method.details() for method in READERS]
        prediction = READERS[0].predict(drawn_episode(texts=TEXTS))
    finally:
        body.pretrained_cfg = known
    expected = READERS[0].predict(drawn_episode())
    np.testing.assert_array_equal(prediction.probs_QN, expected.probs_QN)
    assert [details["text_map"] for details in unread] == [None] * len(READERS)
    assert not [name for details in unread for name in details if name.startswith("text_encoder")]
    assert all("ImageNet" in method.details()["text_map"] for method in READERS)


@pytest.mark.parametrize(("method", "plain"), [(LDA_TEXT, LDA), (RIDGE_TEXT, RidgeTaps)])
def test_without_texts_it_is_the_plain_method(method, plain):
    same = plain(base=BASE, views=method.views, temperatures=method.temperatures)
    episode = drawn_episode()
    np.testing.assert_allclose(method.predict(episode).probs_QN, same.predict(episode).probs_QN)


@each_reader
def test_texts_are_read(method):
    silent = method.predict(drawn_episode())
    told = method.predict(drawn_episode(texts=TEXTS))
    assert not np.allclose(told.probs_QN, silent.probs_QN)
    mute = replace(method, text_weight=0.0).predict(drawn_episode(texts=TEXTS))
    np.testing.assert_allclose(mute.probs_QN, silent.probs_QN)


@each_reader
def test_order_of_the_described_classes_is_that_of_the_answer(method):
    episode = drawn_episode(shots=(1, 2, 3), texts=TEXTS)
    order = [2, 0, 1]
    turned = replace(
        episode,
        descriptions=tuple(TEXTS[number] for number in order),
        support_rows=tuple(episode.support_rows[number] for number in order),
    )
    expected_QN = method.predict(episode).probs_QN[:, order]
    np.testing.assert_allclose(method.predict(turned).probs_QN, expected_QN, rtol=1e-6)


@each_reader
def test_a_described_query_is_scored_on_its_own(method):
    episode = drawn_episode(texts=TEXTS)
    together = method.predict(episode).probs_QN
    alone = method.predict(replace(episode, query_rows=episode.query_rows[[4]])).probs_QN
    np.testing.assert_allclose(alone, together[[4]])
