from __future__ import annotations

import pytest
import torch
from torch import nn

from sgps.encoders.target_networks import create_target_network
from sgps.errors import UnknownNameError
from sgps.synthesizer.weight_plan import Rule, SingularBasis, bounded, plan_weights


@pytest.mark.parametrize(
    "architecture", ["tf_efficientnet_lite0", "tf_efficientnetv2_b0", "tf_efficientnet_b0"]
)
def test_plans_every_tensor_once(architecture: str) -> None:
    with torch.device("meta"):
        body = create_target_network(architecture, pretrained=False)
    planned = [tensor.name for tensor in plan_weights(body).tensors]
    expected = [name for name in body.state_dict() if not name.endswith("num_batches_tracked")]
    assert sorted(planned) == sorted(expected)
    assert len(planned) == len(set(planned))


def test_rules_follow_the_kind_of_layer() -> None:
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8, bias=False), nn.BatchNorm2d(8)
    )
    rules = {tensor.name: (tensor.rule, tensor.width) for tensor in plan_weights(body).tensors}
    assert rules == {
        "0.weight": (Rule.SINGULAR, 8),
        "0.bias": (Rule.OFFSET, 8),
        "1.weight": (Rule.CHANNEL, 8),
        "2.weight": (Rule.CHANNEL, 8),
        "2.bias": (Rule.OFFSET, 8),
        "2.running_mean": (Rule.STATISTIC, 0),
        "2.running_var": (Rule.STATISTIC, 0),
    }


def test_refuses_other_layers() -> None:
    with pytest.raises(UnknownNameError, match="Linear"):
        plan_weights(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (16, 6, 1, 1), (6, 16, 1, 1)])
def test_singular_residual_scales_the_singular_values(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, dtype=torch.float64)
    log_scale = torch.linspace(-0.4, 0.4, 6, dtype=torch.float64)
    adapted = weight + SingularBasis(weight).residual(log_scale)
    before = torch.linalg.svdvals(weight.flatten(1))
    after = torch.linalg.svdvals(adapted.flatten(1))
    expected = (before * log_scale.exp()).sort(descending=True).values
    torch.testing.assert_close(after, expected)


def test_zero_code_is_exactly_no_residual() -> None:
    weight = torch.randn(6, 4, 1, 1)
    assert torch.equal(SingularBasis(weight).residual(torch.zeros(4)), torch.zeros_like(weight))


def test_bounded_is_bounded_and_the_identity_near_zero() -> None:
    values = torch.tensor([-100.0, 0.0, 100.0, 1e-4])
    torch.testing.assert_close(bounded(values), torch.tensor([-0.5, 0.0, 0.5, 1e-4]))
