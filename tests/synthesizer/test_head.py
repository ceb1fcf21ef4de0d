from __future__ import annotations

import numpy as np
import pytest
import torch

from sgps.synthesizer.head import (
    HeadParameters,
    SupportLabels,
    fold_single_tap,
    solve_head,
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
