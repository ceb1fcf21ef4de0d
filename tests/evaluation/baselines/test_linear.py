import numpy as np
import pytest
import torch
from frozen_example import drawn_support, softmax_rows, untrained_base
from sklearn import linear_model

from sgps.evaluation.baselines.linear import LogisticRegression, RidgeLast, RidgeTaps
from sgps.evaluation.baselines.space import Support
from sgps.synthesizer.head import solve_head
from sgps.synthesizer.head_parameters import HeadParameters
from sgps.synthesizer.support_labels import SupportLabels


@pytest.mark.parametrize("counts", [(3, 4, 5), (1, 1), (2, 5)])
def test_logistic_regression_agrees_with_scikit_learn_in_all_features(counts):
    support, queries = drawn_support(counts, widths=(4, 9))
    method = LogisticRegression(base=untrained_base(), inverse_penalty=2.0)
    standardisation = method.standardise(support)
    rows_RD = standardisation.rows(support.taps)
    reference = linear_model.LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000).fit(
        rows_RD, support.class_R, support.weights_R * len(rows_RD)
    )
    expected_QN = reference.predict_proba(standardisation.rows(queries))
    logits_QN = method.fit(support)(queries)
    np.testing.assert_allclose(softmax_rows(logits_QN), expected_QN, atol=1e-5)
    np.testing.assert_allclose(logits_QN.sum(1), 0, atol=1e-5)


def test_ridge_agrees_with_scikit_learn():
    support, queries = drawn_support((1, 2, 4))
    method = RidgeTaps(base=untrained_base(), strength=0.3)
    standardisation = method.standardise(support)
    weights_R = support.weights_R * len(support.class_R)
    reference = linear_model.Ridge(alpha=0.3, fit_intercept=False).fit(
        standardisation.rows(support.taps), support.one_hot_RN - 1 / 3, sample_weight=weights_R
    )
    expected_QN = reference.predict(standardisation.rows(queries))
    np.testing.assert_allclose(method.fit(support)(queries), expected_QN)


@pytest.mark.parametrize("counts", [(1, 1, 1), (2, 3, 5)])
def test_ridge_is_the_generators_head_before_it_learned(counts):
    support, queries = drawn_support(counts)
    method = RidgeTaps(base=untrained_base(), strength=0.3, centring=0.0)
    labels = SupportLabels(torch.from_numpy(support.class_R), 3, dtype=torch.float64)
    zero = torch.zeros((), dtype=torch.float64)
    parameters = HeadParameters(
        torch.zeros(2, dtype=torch.float64), zero + np.log(0.3), zero, zero.expand(3, 7)
    )
    taps = tuple(torch.from_numpy(tap) for tap in support.taps)
    head = solve_head(taps, labels, parameters, unit_rows=True)
    expected_QN = head.logits(tuple(torch.from_numpy(tap) for tap in queries)).numpy()
    np.testing.assert_allclose(method.fit(support)(queries), expected_QN, atol=1e-6)


def test_ridge_by_hand():
    support = Support((np.array([[2.0], [-2.0]]),), np.array([0, 1]), 2)
    method = RidgeTaps(base=untrained_base(), strength=2.0, centring=0.0)
    # rows 1 and -1, targets (1/2, -1/2) and back: w = 2 (1/2) / (2 + 2) = 1/4
    np.testing.assert_allclose(method.fit(support)((np.array([[6.0]]),)), [[0.25, -0.25]])


def test_ridge_on_the_last_features_reads_no_other():
    support, queries = drawn_support()
    alone = Support(support.taps[1:], support.class_R, support.n_way)
    method = RidgeLast(base=untrained_base())
    np.testing.assert_array_equal(method.fit(support)(queries), method.fit(alone)(queries[1:]))
