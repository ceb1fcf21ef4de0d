"""Optimiser and learning rate of a meta-training run."""

from __future__ import annotations

import math

import torch

from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.training.config import MetaTrainingConfig


def build_optimiser(hypernetwork: Hypernetwork, config: MetaTrainingConfig) -> torch.optim.AdamW:
    """AdamW with one learning rate for the deltas and one for everything else."""
    deltas: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in hypernetwork.generator.named_parameters():
        (deltas if name.startswith("deltas.") else others).append(parameter)
    groups = [
        {"params": others, "lr": config.generator_rate, "peak_rate": config.generator_rate},
        {"params": deltas, "lr": config.delta_rate, "peak_rate": config.delta_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


def learning_factor(step: int, config: MetaTrainingConfig) -> float:
    """Linear warm-up, then a cosine down to 5 %."""
    steps = math.ceil(config.episodes / config.episodes_per_step)
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
