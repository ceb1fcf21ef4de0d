import numpy as np
from frozen_example import drawn_support

from sgps.evaluation.baselines.space import Span, Standardisation, Support, unit_rows


def test_classes_weigh_the_same():
    support = Support((np.array([[0.0], [2.0], [10.0]]),), np.array([0, 0, 1]), 2)
    np.testing.assert_allclose(support.weights_R, [0.25, 0.25, 0.5])
    np.testing.assert_allclose(support.class_means(support.taps[0]), [[1.0], [10.0]])
    assert support.images == 3
    assert Support(support.taps, support.class_R, 2, views=3).images == 1


def test_standardisation_by_hand():
    support = Support(
        (np.array([[9.0], [9.0]]), np.array([[1.0, 0.0], [3.0, 4.0]])), np.array([0, 1]), 2
    )
    whole = Standardisation.of(support, "last", centring=0.0, unit_rows=False)
    # the centre is (2, 2); both rows are sqrt(5) away from it
    np.testing.assert_allclose(whole.rows(support.taps) * 5**0.5, [[-1, -2], [1, 2]])
    unit = Standardisation.of(support, "last", centring=0.0, unit_rows=True)
    np.testing.assert_allclose(unit.rows(support.taps) * 5**0.5, [[-1, -2], [1, 2]])
    # two images against two images' worth of zeros: half the mean, (1, 1)
    half = Standardisation.of(support, "last", centring=2.0, unit_rows=False)
    np.testing.assert_allclose(half.rows(support.taps) * 7**0.5, [[0, -1], [2, 3]])
    plain = Standardisation.of(support, "last", centring=None, unit_rows=False)
    np.testing.assert_allclose(plain.rows(support.taps) * 13**0.5, [[1, 0], [3, 4]])


def test_each_tap_has_mean_square_norm_one():
    support, _ = drawn_support()
    for centring in (0.0, 10.0, None):
        standardisation = Standardisation.of(support, "all", centring=centring, unit_rows=False)
        rows_RD = standardisation.rows(support.taps)
        for tap_RD in (rows_RD[:, :3], rows_RD[:, 3:]):
            np.testing.assert_allclose(support.weights_R @ (tap_RD**2).sum(1), 1)
        centre_D = support.weights_R @ rows_RD
        assert np.allclose(centre_D, 0) == (centring == 0)


def test_span_keeps_distances():
    rng = np.random.default_rng(0)
    rows_RD = rng.normal(size=(4, 10))
    span = Span.of(rows_RD, np.full(4, 0.25))
    assert span.basis_DB.shape == (10, 3)
    np.testing.assert_allclose(span.basis_DB.T @ span.basis_DB, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(span.square_distance(rows_RD), 0, atol=1e-12)
    query_QD = rng.normal(size=(2, 10))
    inside = span.coordinates(query_QD)[:, None] - span.coordinates(rows_RD)
    squares = (inside**2).sum(2) + span.square_distance(query_QD)[:, None]
    np.testing.assert_allclose(squares, ((query_QD[:, None] - rows_RD) ** 2).sum(2))


def test_span_of_equal_rows_is_a_point():
    span = Span.of(np.ones((3, 5)), np.full(3, 1 / 3))
    assert span.coordinates(np.zeros((2, 5))).shape[0] == 2
    np.testing.assert_allclose(span.square_distance(np.zeros((2, 5))), 5)


def test_unit_rows_leave_zeros():
    np.testing.assert_allclose(unit_rows(np.array([[3.0, 4.0], [0, 0]])), [[0.6, 0.8], [0, 0]])
