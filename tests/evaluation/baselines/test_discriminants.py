import numpy as np
import pytest
from frozen_example import drawn_support, softmax_rows, untrained_base
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from sgps.evaluation.baselines.discriminants import LDA, SimpleCNAPs
from sgps.evaluation.baselines.space import Standardisation, Support

PLAIN = {"taps": "last", "centring": 0.0, "unit_rows": False}


@pytest.mark.parametrize("shrinkage", [0.1, 0.5, 1.0])
def test_lda_agrees_with_scikit_learn(shrinkage):
    support, queries = drawn_support()
    method = LDA(base=untrained_base(), shrinkage=shrinkage, **PLAIN)
    logits_QN = method.fit(support)(queries)
    standardisation = Standardisation.of(support, "last", centring=0.0, unit_rows=False)
    rows_RD = standardisation.rows(support.taps)
    # scikit-learn's identity has the mean variance within classes, ours that of the whole support
    residuals_RD = rows_RD - support.class_means(rows_RD)[support.class_R]
    within = float(support.weights_R @ (residuals_RD**2).sum(1)) / rows_RD.shape[1]
    whole = float(support.weights_R @ (rows_RD**2).sum(1)) / len(rows_RD)
    scale = 1 - shrinkage + shrinkage * whole / within
    reference = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage=shrinkage * whole / within / scale, priors=[1 / 3] * 3
    ).fit(rows_RD, support.class_R)
    expected_QN = reference.predict_proba(standardisation.rows(queries))
    np.testing.assert_allclose(softmax_rows(logits_QN * scale), expected_QN, rtol=1e-8)


def test_lda_is_the_gaussian_in_all_features():
    """The span gives the same distances as the covariance over all features."""
    support, queries = drawn_support((2, 2), widths=(9,))
    method = LDA(base=untrained_base(), shrinkage=0.4, taps="last", centring=10.0)
    standardisation = method.standardise(support)
    rows_RD, query_QD = standardisation.rows(support.taps), standardisation.rows(queries)
    means_ND = support.class_means(rows_RD)
    residuals_RD = rows_RD - means_ND[support.class_R]
    centred_RD = rows_RD - support.weights_R @ rows_RD
    whole = float(support.weights_R @ (centred_RD**2).sum(1)) / 4
    shrunk_DD = 0.6 * residuals_RD.T @ residuals_RD / 4 + 0.4 * whole * np.eye(9)
    offsets_QND = query_QD[:, None] - means_ND
    expected_QN = -np.einsum("qnd,de,qne->qn", offsets_QND, np.linalg.inv(shrunk_DD), offsets_QND)
    np.testing.assert_allclose(method.fit(support)(queries), expected_QN / 2)


def test_lda_at_one_shot_ranks_by_distance():
    support, queries = drawn_support((1, 1, 1))
    logits_QN = LDA(base=untrained_base(), shrinkage=0.3, **PLAIN).fit(support)(queries)
    squares_QN = ((queries[-1][:, None] - support.taps[-1]) ** 2).sum(2)
    np.testing.assert_array_equal(logits_QN.argsort(1), (-squares_QN).argsort(1))


def test_simple_cnaps_by_its_formula_in_all_features():
    support, queries = drawn_support((1, 3), widths=(6,))
    method = SimpleCNAPs(base=untrained_base(), ridge=0.7, **PLAIN)
    standardisation = method.standardise(support)
    rows_RD, query_QD = standardisation.rows(support.taps), standardisation.rows(queries)
    task_DD = np.cov(rows_RD.T, aweights=support.weights_R, ddof=0)
    beta = 0.7 * np.trace(task_DD) / 4
    expected = []
    for number, shots in enumerate((1, 3)):
        own_KD = rows_RD[support.class_R == number]
        class_DD = np.cov(own_KD.T, ddof=1) if shots > 1 else np.zeros((6, 6))
        share = shots / (shots + 1)
        matrix_DD = share * class_DD + (1 - share) * task_DD + beta * np.eye(6)
        offset_QD = query_QD - own_KD.mean(0)
        expected.append(-np.einsum("qd,dq->q", offset_QD, np.linalg.solve(matrix_DD, offset_QD.T)))
    logits_QN = method.fit(support)(queries)
    np.testing.assert_allclose(logits_QN, np.stack(expected, 1) / 2)


def test_simple_cnaps_counts_images_not_views():
    support, queries = drawn_support((2, 2))
    twice = Support(
        tuple(np.concatenate([tap, tap]) for tap in support.taps),
        np.tile(support.class_R, 2),
        support.n_way,
        views=2,
    )
    method = SimpleCNAPs(base=untrained_base(), ridge=1e3, **PLAIN)
    half = SimpleCNAPs(base=untrained_base(), ridge=5e2, **PLAIN)
    expected_QN = half.fit(support)(queries)
    np.testing.assert_allclose(method.fit(twice)(queries), expected_QN, rtol=1e-2)
