from __future__ import annotations

import torch
from torch import nn

from sgps.synthesizer.adaptation import absorb_statistics, mix_statistics, observe_statistics


def make_body() -> nn.Sequential:
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5)
    )
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
    return body.double().eval().requires_grad_(False)


UNEQUAL = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64)


def images() -> torch.Tensor:
    return torch.randn(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_observes_weighted_statistics() -> None:
    body, inputs = make_body(), images()
    with observe_statistics(body, UNEQUAL) as seen:
        body(inputs)
    features = body[0](inputs)
    repeated = torch.cat([features, features[2:]])  # the last image weighs twice as much
    torch.testing.assert_close(seen.means["1"], repeated.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(seen.variances["1"], repeated.var(dim=(0, 2, 3), correction=0))


def test_zero_strength_is_the_plain_network() -> None:
    body, inputs = make_body(), images()
    zero = torch.zeros((), dtype=torch.float64)
    with mix_statistics(body, UNEQUAL, {"1": zero, "3": zero}) as used:
        outputs = body(inputs)
    torch.testing.assert_close(outputs, body(inputs))
    assert torch.equal(used.means["1"], body[1].running_mean)
    assert torch.equal(used.variances["3"], body[3].running_var)


def test_full_strength_is_training_mode() -> None:
    body, inputs = make_body(), images()
    one = torch.ones((), dtype=torch.float64)
    equal = torch.full((3,), 1 / 3, dtype=torch.float64)
    with mix_statistics(body, equal, {"1": one, "3": one}):
        outputs = body(inputs)
    expected = make_body().train()(inputs)
    torch.testing.assert_close(outputs, expected)


def test_used_statistics_reproduce_the_pass_in_both_forms() -> None:
    body, inputs = make_body(), images()
    strengths = {"1": torch.tensor(0.3).double(), "3": torch.tensor(-0.2).double()}
    with mix_statistics(body, UNEQUAL, strengths) as used:
        outputs = body(inputs)
    tensors = dict(body.state_dict())
    for name in ("1", "3"):
        tensors[f"{name}.running_mean"] = used.means[name]
        tensors[f"{name}.running_var"] = used.variances[name]
    plain = make_body()
    plain.load_state_dict(tensors)
    torch.testing.assert_close(plain(inputs), outputs)
    absorbed = absorb_statistics(body, tensors, ("1", "3"))
    torch.testing.assert_close(torch.func.functional_call(body, absorbed, (inputs,)), outputs)


def test_hooks_are_gone_afterwards() -> None:
    body = make_body()
    with observe_statistics(body, UNEQUAL):
        pass
    assert not any(module._forward_pre_hooks for module in body.modules())
