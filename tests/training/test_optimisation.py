"""The learning rate and the step of a meta-training run."""

from __future__ import annotations

import pytest
import torch

from sgps.training import MetaTrainingConfig
from sgps.training.optimisation import learning_factor, take_step


def test_the_factor_warms_up_and_falls_to_a_twentieth(config: MetaTrainingConfig) -> None:
    config = config.model_copy(update={"episodes": 20, "episodes_per_step": 1, "warmup_steps": 4})
    factors = [learning_factor(step, config) for step in range(21)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert factors[-1] == pytest.approx(0.05)


def test_a_step_goes_down_the_sum_of_the_losses_and_is_clipped() -> None:
    place = torch.tensor([0.0, 0.0], requires_grad=True)
    optimiser = torch.optim.SGD([{"params": [place], "lr": 9.0, "peak_rate": 0.5}])
    losses = (factor * place[number] + 1 for number, factor in enumerate((3.0, 4.0)))
    assert take_step(optimiser, losses, factor=0.2, clip_norm=1.0) == 2.0
    torch.testing.assert_close(place.detach(), torch.tensor([-0.06, -0.08]), atol=1e-5, rtol=0)
