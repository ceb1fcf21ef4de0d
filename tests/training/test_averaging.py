from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sgps.training.averaging import average_of


def walk(module: nn.Module, steps: int, seed: int = 0) -> list[torch.Tensor]:
    """States of a parameter along a random walk."""
    random = torch.Generator().manual_seed(seed)
    return [
        torch.randn(module.weight.shape, dtype=torch.float64, generator=random)
        for _ in range(steps)
    ]


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.995])
def test_is_the_recursion_of_its_definition(decay: float) -> None:
    """``a <- d a + (1 - d) w`` with d = min(decay, (n + 1) / (n + 10)); the first is a copy."""
    module = nn.Linear(3, 2, bias=False).double()
    averaged = average_of(module, decay)
    expected = np.zeros((2, 3))
    for count, weight in enumerate(walk(module, 40)):
        with torch.no_grad():
            module.weight.copy_(weight)
        averaged.update_parameters(module)
        kept = 0.0 if count == 0 else min(decay, (count + 1) / (count + 10))
        expected = kept * expected + (1 - kept) * weight.numpy()
        np.testing.assert_allclose(averaged.module.weight.numpy(), expected, atol=1e-12)


def test_before_the_first_update_it_is_a_copy_that_nothing_moves() -> None:
    module = nn.Linear(3, 2)
    averaged = average_of(module, 0.9)
    before = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.add_(1)
    assert torch.equal(averaged.module.weight, before)
    assert not any(parameter.requires_grad for parameter in averaged.parameters())
    assert module.weight.requires_grad


def test_a_restored_average_goes_on_where_it_stood() -> None:
    module = nn.Linear(3, 2, bias=False).double()
    straight, stopped = average_of(module, 0.9), average_of(module, 0.9)
    weights = walk(module, 12)
    for count, weight in enumerate(weights):
        with torch.no_grad():
            module.weight.copy_(weight)
        if count == 5:
            state = stopped.state_dict()
            stopped = average_of(module, 0.9)
            stopped.load_state_dict(state)
        for averaged in (straight, stopped):
            averaged.update_parameters(module)
    assert torch.equal(straight.module.weight, stopped.module.weight)
