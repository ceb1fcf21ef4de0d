"""An exponential average of the generator along its training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_RAMP = 10

Tensors = tuple[Tensor, ...] | list[Tensor]


def average_of(module: nn.Module, decay: float) -> AveragedModel:
    """A copy of the module that follows it: ``average += (1 - d) (module - average)`` at an update.

    The first update copies the module; then d rises to ``decay``, as (n + 1) / (n + 10) after n
    updates, so that the start is soon forgotten. Polyak averaging; weight averages generalise
    better: Izmailov et al. 2018.
    """

    def follow(averages: Tensors, values: Tensors, updates: Tensor | int) -> None:
        count = int(updates)
        weight = 1 - min(decay, (count + 1) / (count + _RAMP))
        with torch.no_grad():
            for average, value in zip(averages, values, strict=True):
                average.lerp_(value, weight)

    averaged = AveragedModel(module, multi_avg_fn=follow)
    averaged.requires_grad_(False)
    return averaged
