from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sgps.synthesizer.head import fold_single_tap, solve_head, unit_rows_of_domain
from sgps.synthesizer.head_parameters import HeadParameters, Whitening
from sgps.synthesizer.support_labels import SupportLabels

from .conftest import labelled
from .reference_head import reference_logits, standardised

DOUBLE = torch.float64
TAP_WIDTHS = (3, 2, 4, 6)
CENTRE_OF = (2, 2)
"""Two centre taps before the plain ones: of the first of those, at two widths."""
WIDTH = sum(TAP_WIDTHS)


def random_taps(count: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Random features, the middles not far from their blocks' means."""
    random = torch.Generator().manual_seed(seed)
    noise = [torch.randn(count, width, dtype=DOUBLE, generator=random) for width in TAP_WIDTHS]
    middles = [0.4 * rows + noise[2][:, : rows.shape[1]] for rows in noise[:2]]
    return (*middles, *noise[2:])


def full_parameters(ways: int) -> HeadParameters:
    """Every part of the head in use: tap weights, texts, whitening, evidence."""
    random = torch.Generator().manual_seed(7)
    basis_DR = torch.linalg.qr(torch.randn(WIDTH, 3, dtype=DOUBLE, generator=random)).Q
    return HeadParameters(
        log_tap_weights_T=torch.tensor([0.7, 0.4, 0.5, 1.3], dtype=DOUBLE).log(),
        log_ridge=torch.tensor(0.3, dtype=DOUBLE).log(),
        log_temperature=torch.tensor(5.0, dtype=DOUBLE).log(),
        text_weights_ND=0.2 * torch.randn(ways, WIDTH, dtype=DOUBLE, generator=random),
        whitening=Whitening(basis_DR.T, torch.tensor([0.9, 0.5, 0.2], dtype=DOUBLE)),
        temperature_evidence=True,
        text_evidence=True,
        within_spread_K=torch.tensor([4.0, 5.0], dtype=DOUBLE),
        centre_of=CENTRE_OF,
    )


def make_parameters(ways: int, width: int, *, taps: int = 1, ridge: float = 0.5) -> HeadParameters:
    return HeadParameters(
        log_tap_weights_T=torch.zeros(taps, dtype=torch.float64),
        log_ridge=torch.tensor(ridge, dtype=torch.float64).log(),
        log_temperature=torch.tensor(0.0, dtype=torch.float64),
        text_weights_ND=torch.zeros(ways, width, dtype=torch.float64),
    )


def test_equals_scikit_learns_ridge_on_balanced_classes() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 4)
    features = rng.normal(size=(12, 7)) + labels[:, None]
    queries = rng.normal(size=(5, 7))
    head = solve_head(
        (torch.from_numpy(features),),
        SupportLabels(torch.from_numpy(labels), 3, torch.float64),
        make_parameters(3, 7),
        unit_rows=False,
    )
    centred = features - features.mean(axis=0)
    scale = 1 / np.sqrt((centred**2).sum(axis=1).mean() + 1e-8)
    targets = np.eye(3)[labels] - 1 / 3
    reference = Ridge(alpha=0.5, fit_intercept=False).fit(centred * scale, targets)
    expected = reference.predict((queries - features.mean(axis=0)) * scale)
    np.testing.assert_allclose(
        head.logits((torch.from_numpy(queries),)).numpy(), expected, atol=1e-10
    )


def test_golden_two_points() -> None:
    """Support -1 and +1, ridge 1: W = +-0.5 x / (1 + 1 * ...), by hand.

    Unit features, G + I = [[2, -1], [-1, 2]], dual = inv @ +-0.5, weight = dual^T @ x = 1/3 each.
    """
    head = solve_head(
        (torch.tensor([[-1.0], [1.0]], dtype=torch.float64),),
        SupportLabels(torch.tensor([0, 1]), 2, torch.float64),
        make_parameters(2, 1, ridge=1.0),
        unit_rows=False,
    )
    torch.testing.assert_close(
        head.weight_ND, torch.tensor([[-1 / 3], [1 / 3]], dtype=torch.float64), atol=1e-7, rtol=0
    )


def test_prior_decides_when_the_ridge_is_strong() -> None:
    parameters = make_parameters(2, 3, ridge=1e8)
    prior = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    head = solve_head(
        (torch.randn(4, 3, dtype=torch.float64),),
        SupportLabels(torch.tensor([0, 0, 1, 1]), 2, torch.float64),
        HeadParameters(
            parameters.log_tap_weights_T, parameters.log_ridge, parameters.log_temperature, prior
        ),
        unit_rows=False,
    )
    torch.testing.assert_close(head.weight_ND, prior, atol=1e-6, rtol=0)


def test_ten_copies_of_an_image_weigh_as_much_as_one() -> None:
    """The ridge is relative to the mean image, so it is scaled by the ratio of image counts."""
    features = torch.randn(2, 5, dtype=torch.float64)
    once = solve_head(
        (features,),
        SupportLabels(torch.tensor([0, 1]), 2, torch.float64),
        make_parameters(2, 5),
        unit_rows=False,
    )
    many = solve_head(
        (torch.cat([features, features[1:].repeat(9, 1)]),),
        SupportLabels(torch.tensor([0] + [1] * 10), 2, torch.float64),
        make_parameters(2, 5, ridge=0.5 * 11 / 2),
        unit_rows=False,
    )
    torch.testing.assert_close(many.centre_D, once.centre_D)
    torch.testing.assert_close(many.weight_ND, once.weight_ND)


def test_folded_single_tap_equals_the_head() -> None:
    features = torch.randn(6, 5, dtype=torch.float64)
    head = solve_head(
        (features,),
        SupportLabels(torch.tensor([0, 0, 1, 1, 2, 2]), 3, torch.float64),
        make_parameters(3, 5),
        unit_rows=False,
    )
    weight, bias = fold_single_tap(head)
    queries = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(queries @ weight.T + bias, head.logits((queries,)))


def test_unit_rows_cannot_be_folded() -> None:
    head = solve_head(
        (torch.randn(4, 5, dtype=torch.float64),),
        SupportLabels(torch.tensor([0, 0, 1, 1]), 2, torch.float64),
        make_parameters(2, 5),
        unit_rows=True,
    )
    with pytest.raises(ValueError, match="unit rows"):
        fold_single_tap(head)


def test_equals_numpy_from_the_definition() -> None:
    """Taps, whitening, texts, unequal shots and evidence together."""
    support, queries = random_taps(9, seed=1), random_taps(4, seed=2)
    class_S = torch.tensor([0, 0, 0, 1, 2, 2, 1, 0, 3])
    parameters = full_parameters(4)
    head = solve_head(support, SupportLabels(class_S, 4, DOUBLE), parameters, unit_rows=True)
    expected = reference_logits(
        [tap.numpy() for tap in support],
        class_S.numpy(),
        [tap.numpy() for tap in queries],
        parameters,
    )
    np.testing.assert_allclose(head.logits(queries).numpy(), expected, atol=1e-10)


def test_the_folded_whitening_equals_a_ridge_on_whitened_rows() -> None:
    from sklearn.linear_model import Ridge

    support, queries = random_taps(8, seed=3), random_taps(5, seed=4)
    class_S = torch.arange(4).repeat(2)
    labels = SupportLabels(class_S, 4, DOUBLE)
    nothing = torch.zeros(4, WIDTH, dtype=DOUBLE)
    parameters = replace(
        full_parameters(4), text_weights_ND=nothing, temperature_evidence=False,
        within_spread_K=None, log_temperature=torch.tensor(0.0, dtype=DOUBLE),
    )  # fmt: skip
    head = solve_head(support, labels, parameters, unit_rows=True)
    assert parameters.whitening is not None
    rows_SD, rows_QD = (parameters.whitening(head.features(taps)) for taps in (support, queries))
    strength = float(parameters.log_ridge.exp() * rows_SD.square().sum(dim=1).mean())
    ridge = Ridge(alpha=strength, fit_intercept=False).fit(rows_SD, labels.one_hot_SN - 1 / 4)
    np.testing.assert_allclose(head.logits(queries).numpy(), ridge.predict(rows_QD), atol=1e-10)


def test_shares_of_zero_whiten_nothing() -> None:
    support, queries = random_taps(6), random_taps(3, seed=5)
    labels = SupportLabels(torch.tensor([0, 0, 1, 1, 1, 2]), 3, DOUBLE)
    parameters = full_parameters(3)
    assert parameters.whitening is not None
    still = replace(parameters.whitening, shares_R=torch.zeros(3, dtype=DOUBLE))
    outputs = [
        solve_head(support, labels, replace(parameters, whitening=given), unit_rows=True).logits(
            queries
        )
        for given in (still, None, parameters.whitening)
    ]
    torch.testing.assert_close(outputs[0], outputs[1])
    assert not torch.allclose(outputs[2], outputs[1])


def test_the_whitening_is_symmetric_and_shrinks_its_directions_alone() -> None:
    whitening = full_parameters(2).whitening
    assert whitening is not None
    matrix_DD = whitening(torch.eye(WIDTH, dtype=DOUBLE))
    torch.testing.assert_close(matrix_DD, matrix_DD.T)
    torch.testing.assert_close(
        whitening(whitening.basis_RD), whitening.basis_RD * (1 - whitening.shares_R).unsqueeze(1)
    )
    free = torch.randn(WIDTH, dtype=DOUBLE)
    free = free - whitening.basis_RD.T @ (whitening.basis_RD @ free)
    torch.testing.assert_close(whitening(free), free)


@pytest.mark.parametrize("shots", [(1, 1, 1), (3, 1, 3)])
def test_the_evidence_scales_the_logits_and_nothing_else(shots: tuple[int, ...]) -> None:
    labels = labelled(*shots)
    support, queries = random_taps(sum(shots)), random_taps(5, seed=6)
    moved, still = (
        solve_head(
            support, labels, replace(full_parameters(3), temperature_evidence=given), unit_rows=True
        ).logits(queries)
        for given in (True, False)
    )
    factor = moved / still
    torch.testing.assert_close(factor, factor[0, 0].expand_as(factor))
    assert (float(factor[0, 0]) == 1) is (max(shots) == 1)


def test_rows_of_a_domain_are_centred_scaled_and_of_unit_norm() -> None:
    taps = random_taps(12)
    parameters = full_parameters(2)
    arrays = [tap.numpy() for tap in taps]
    expected = standardised(arrays, np.full(12, 1 / 12), arrays, parameters, unit_rows=True)
    actual = unit_rows_of_domain(taps, parameters)
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1)
