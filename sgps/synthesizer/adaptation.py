"""Batch-normalisation statistics that move towards the support set's own, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sgps.synthesizer.tapped_network import spatial_moments


@dataclass
class LayerStatistics:
    """Means (C,) and variances (C,) by layer name, as one forward pass met or set them."""

    means: dict[str, Tensor] = field(default_factory=dict)
    variances: dict[str, Tensor] = field(default_factory=dict)


@contextmanager
def observe_statistics(body: nn.Module, weights_S: Tensor) -> Iterator[LayerStatistics]:
    """Record the class-balanced input statistics of every batch normalisation of a forward pass."""
    seen = LayerStatistics()

    def observe(name: str) -> object:
        def hook(_module: nn.Module, inputs: tuple[Tensor]) -> None:
            seen.means[name], seen.variances[name] = _weighted_statistics(inputs[0], weights_S)

        return hook

    with _pre_hooks(body, observe):
        yield seen


@contextmanager
def mix_statistics(
    body: nn.Module, weights_S: Tensor, mixing: Mapping[str, Tensor]
) -> Iterator[LayerStatistics]:
    """Let every batch normalisation use running statistics moved towards its input's own.

    With the layer's strength rho (a scalar tensor): ``mean + rho (batch mean - mean)`` and
    ``variance * (batch variance / variance)^rho``, which is positive for every rho and equals the
    running statistics exactly for rho = 0. The yielded statistics are those that were used: with
    them as running statistics, a plain forward pass gives the same outputs.
    """
    used = LayerStatistics()

    def mix(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            assert isinstance(module, nn.BatchNorm2d)
            mean_C, variance_C = module.running_mean, module.running_var
            assert mean_C is not None
            assert variance_C is not None
            batch_mean_C, batch_variance_C = _weighted_statistics(inputs[0], weights_S)
            strength = mixing[name]
            new_mean_C = mean_C + strength * (batch_mean_C - mean_C)
            ratio_C = (batch_variance_C + module.eps) / (variance_C + module.eps)
            new_variance_C = (variance_C + module.eps) * ratio_C**strength - module.eps
            new_variance_C = torch.where(strength == 0, variance_C, new_variance_C)
            used.means[name], used.variances[name] = new_mean_C, new_variance_C
            # The layer itself still applies its running statistics; feed it what makes the
            # result that of the new ones.
            gain_C = ((variance_C + module.eps) / (new_variance_C + module.eps)).sqrt()
            offset_C = mean_C - new_mean_C * gain_C
            return (torch.addcmul(_per_channel(offset_C), inputs[0], _per_channel(gain_C)),)

        return hook

    with _pre_hooks(body, mix):
        yield used


def absorb_statistics(
    body: nn.Module, tensors: Mapping[str, Tensor], normalisations: tuple[str, ...]
) -> dict[str, Tensor]:
    """Move changed statistics into the normalisation's weight and bias.

    The result gives the same outputs with the body's own running statistics. Training needs this
    form: torch's batch normalisation has no gradient with respect to running statistics.
    """
    absorbed = dict(tensors)
    for name in normalisations:
        module = body.get_submodule(name)
        assert isinstance(module, nn.BatchNorm2d)
        mean_C, variance_C = module.running_mean, module.running_var
        assert mean_C is not None
        assert variance_C is not None
        new_mean_C = absorbed.pop(f"{name}.running_mean")
        new_variance_C = absorbed.pop(f"{name}.running_var")
        weight_C = tensors[f"{name}.weight"] * (new_variance_C + module.eps).rsqrt()
        absorbed[f"{name}.weight"] = weight_C * (variance_C + module.eps).sqrt()
        absorbed[f"{name}.bias"] = tensors[f"{name}.bias"] + weight_C * (mean_C - new_mean_C)
    return absorbed


@contextmanager
def _pre_hooks(body: nn.Module, make_hook: object) -> Iterator[None]:
    handles = [
        module.register_forward_pre_hook(make_hook(name))  # type: ignore[operator]
        for name, module in body.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _per_channel(values_C: Tensor) -> Tensor:
    return values_C.view(1, -1, 1, 1)


def _weighted_statistics(features: Tensor, weights_S: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) over weighted images and all positions of (S, C, H, W) features."""
    mean_SC, square_SC = spatial_moments(features)
    weights_S1 = weights_S.to(features.dtype).unsqueeze(1)
    mean_C = (weights_S1 * mean_SC).sum(dim=0)
    variance_C = (weights_S1 * square_SC).sum(dim=0) - mean_C.square()
    return mean_C, variance_C.clamp_min(0)
