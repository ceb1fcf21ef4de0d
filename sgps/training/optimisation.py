"""Optimiser, learning rate and step of a meta-training run."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.training.config import MetaTrainingConfig


def build_optimiser(hypernetwork: Hypernetwork, config: MetaTrainingConfig) -> torch.optim.AdamW:
    """AdamW with one learning rate for the deltas and one for everything else; fused on a GPU."""
    deltas: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in hypernetwork.generator.named_parameters():
        (deltas if name.startswith("deltas.") else others).append(parameter)
    groups = [
        {"params": others, "lr": config.generator_rate, "peak_rate": config.generator_rate},
        {"params": deltas, "lr": config.delta_rate, "peak_rate": config.delta_rate},
    ]
    on_gpu = all(parameter.is_cuda for parameter in (*deltas, *others))
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=on_gpu or None)


def learning_factor(step: int, config: MetaTrainingConfig) -> float:
    """Linear warm-up, then a cosine down to 5 %."""
    steps = math.ceil(config.episodes / config.episodes_per_step)
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def take_step(
    optimiser: torch.optim.Optimizer, losses: Iterable[Tensor], *, factor: float, clip_norm: float
) -> float:
    """Take one step down the sum of scalar losses; return that sum.

    losses: each is derived before the next is asked for, so that one graph is held at a time.
    factor: times the peak rate of each group, its learning rate. clip_norm: largest gradient norm.
    """
    for group in optimiser.param_groups:
        group["lr"] = group["peak_rate"] * factor
    optimiser.zero_grad(set_to_none=True)
    total = 0.0
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
    optimiser.step()
    return total
