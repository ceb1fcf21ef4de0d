import numpy as np
from frozen_example import drawn_support, untrained_base
from sklearn.neighbors import NearestCentroid as ScikitNearestCentroid

from sgps.evaluation.baselines.centroids import (
    CentredCosineCentroid,
    CosineCentroid,
    NearestCentroid,
)
from sgps.evaluation.baselines.space import Support

PLAIN = {"taps": "last", "centring": 0.0, "unit_rows": False}


def test_squared_distances_by_hand():
    support = Support((np.array([[0.0, 0.0], [0.0, 2.0], [4.0, 1.0]]),), np.array([0, 0, 1]), 2)
    # the balanced centre is (2, 1); mean square distance from it (5/4 + 5/4 + 4/2) = 4.5
    logits = NearestCentroid(base=untrained_base(), **PLAIN).fit(support)
    np.testing.assert_allclose(logits((np.array([[1.0, 1.0]]),)), [[-1 / 4.5, -9 / 4.5]])


def test_ranks_as_scikit_learn_does():
    support, queries = drawn_support()
    logits_QN = NearestCentroid(base=untrained_base(), **PLAIN).fit(support)(queries)
    reference = ScikitNearestCentroid().fit(support.taps[-1], support.class_R).predict(queries[-1])
    np.testing.assert_array_equal(logits_QN.argmax(1), reference)


def test_cosine_by_hand():
    support = Support((np.array([[3.0, 0.0], [0.0, 2.0]]),), np.array([0, 1]), 2)
    logits = CosineCentroid(base=untrained_base(), taps="last").fit(support)
    expected = [[0.5**0.5, 0.5**0.5], [1, 0]]
    np.testing.assert_allclose(logits((np.array([[5.0, 5.0], [1, 0]]),)), expected)


def test_centred_cosine_by_hand():
    support = Support((np.array([[3.0, 1.0], [1.0, 1.0]]),), np.array([0, 1]), 2)
    method = CentredCosineCentroid(base=untrained_base(), taps="last", centring=0.0)
    logits_QN = method.fit(support)((np.array([[3.0, 2.0], [0.0, 1.0]]),))
    np.testing.assert_allclose(logits_QN, [[0.5**0.5, -(0.5**0.5)], [-1, 1]])


def test_plain_cosine_does_not_centre():
    assert CosineCentroid(base=untrained_base()).centring is None
    assert CentredCosineCentroid(base=untrained_base()).centring is not None
