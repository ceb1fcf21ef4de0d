"""Gradient steps on a support: what is trained, the loss, the way down it, how it is described.

Shapes: S support images, N classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sgps.evaluation.features import TapBank
from sgps.synthesizer.tapped_network import TappedNetwork

FROZEN_STATISTICS = "running statistics of the base; weights and biases are trained"
"""How a trained body normalises: statistics of a handful of images are worse than the base's."""


def trainable_copy(base: TapBank) -> TappedNetwork:
    """Return a copy of the base's network whose parameters take gradients, in eval mode."""
    return copy.deepcopy(base.network).eval().requires_grad_(True)


def balanced_loss(logits_SN: Tensor, class_S: Tensor) -> Tensor:
    """Return the cross-entropy in which each class weighs alike, whatever its number of images."""
    counts_N = torch.bincount(class_S, minlength=logits_SN.shape[1]).clamp_min(1)
    return functional.cross_entropy(logits_SN, class_S, weight=counts_N.to(logits_SN).reciprocal())


def descend(
    optimiser: torch.optim.Optimizer,
    loss_of: Callable[[], Tensor],
    steps: int,
    *,
    cosine: bool = False,
) -> list[float]:
    """Take steps down a loss, computed anew before each; return what it was each time.

    cosine: the learning rates fall from those of the optimiser to 0 along half a cosine.
    """
    peaks = [group["lr"] for group in optimiser.param_groups]
    losses = []
    with torch.enable_grad():
        for step in range(steps):
            if cosine:
                for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                    group["lr"] = peak * 0.5 * (1 + math.cos(math.pi * step / steps))
            loss = loss_of()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.item())
    return losses


def describe(base: TapBank, constants: object) -> dict[str, Any]:
    """Return the digest and taps of a base, and the plain fields of a dataclass."""
    names = [field.name for field in fields(constants)]  # type: ignore[arg-type]
    values = {name: getattr(constants, name) for name in names}
    plain = {name: value for name, value in values.items() if isinstance(value, str | int | float)}
    return {"base_version": base.version, "taps": list(base.network.taps), **plain}
