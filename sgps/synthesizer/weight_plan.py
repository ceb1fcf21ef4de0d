"""Which tensor of the target network is produced by which rule.

Every tensor is ``base + bounded residual``. A residual is a function of the layer's code ``z`` of
shape (R,), zero for ``z = 0``, so that an untrained generator gives back the base network exactly:

==================  ==========================================================================
rule                residual of tensor t
==================  ==========================================================================
SINGULAR            dense and 1x1 convolutions, ``U diag(s (exp(a) - 1)) V^T`` with U, s, V from
                    the SVD of the base weight and ``a = bounded(z P_t)``
CHANNEL             depthwise kernels and normalisation weights, ``base * (exp(a) - 1)``
OFFSET              biases, ``a`` times a unit taken from the base tensor's spread
STATISTIC           running means and variances: moved towards the support set's own
==================  ==========================================================================

Convolutions and normalisation weights also carry one meta-trained delta ``D_t``, mixed in with the
layer's gate ``g``: ``g * D_t``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from sgps.errors import UnknownNameError

RESIDUAL_BOUND = 0.5


class Rule(Enum):
    """How a tensor's residual is made; see the module's table."""

    SINGULAR = "singular"
    CHANNEL = "channel"
    OFFSET = "offset"
    STATISTIC = "statistic"


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor of the target network.

    Attributes
    ----------
    name: key in the target network's state dict.
    layer: number of the layer (module) it belongs to, 0 <= layer < L.
    rule: how its residual is made.
    width: how many numbers the residual takes; 0 for statistics.
    """

    name: str
    layer: int
    rule: Rule
    width: int


@dataclass(frozen=True)
class WeightPlan:
    """All tensors of a target network, in state-dict order, and its layers' names."""

    tensors: tuple[PlannedTensor, ...]
    layers: tuple[str, ...]
    normalisations: tuple[str, ...]
    """Names of the batch-normalisation layers, in the order of ``layers``."""

    def layer_number(self, name: str) -> int:
        """Number of the layer called ``name``."""
        return self.layers.index(name)


def plan_weights(body: nn.Module) -> WeightPlan:
    """Plan every tensor of a body made of convolutions and batch normalisations.

    Raises
    ------
    UnknownNameError: the body has a parametrised layer of another kind.
    """
    tensors: list[PlannedTensor] = []
    layers: list[str] = []
    normalisations: list[str] = []
    for name, module in body.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if not own:
            continue
        layer = len(layers)
        layers.append(name)
        if isinstance(module, nn.Conv2d):
            tensors.append(_plan_kernel(name, layer, module))
        elif isinstance(module, nn.BatchNorm2d):
            normalisations.append(name)
            channels = module.num_features
            tensors.append(PlannedTensor(f"{name}.weight", layer, Rule.CHANNEL, channels))
            for statistic in ("running_mean", "running_var"):
                tensors.append(PlannedTensor(f"{name}.{statistic}", layer, Rule.STATISTIC, 0))
        else:
            raise UnknownNameError(
                f"layer {name!r} is a {type(module).__name__}",
                expected="a body of Conv2d and BatchNorm2d layers",
            )
        if "bias" in own:
            tensors.append(PlannedTensor(f"{name}.bias", layer, Rule.OFFSET, own["bias"].numel()))
    return WeightPlan(tuple(tensors), tuple(layers), tuple(normalisations))


def _plan_kernel(name: str, layer: int, convolution: nn.Conv2d) -> PlannedTensor:
    weight = convolution.weight
    if convolution.groups == convolution.in_channels and convolution.groups > 1:
        return PlannedTensor(f"{name}.weight", layer, Rule.CHANNEL, weight.shape[0])
    rank = min(weight.shape[0], weight[0].numel())
    return PlannedTensor(f"{name}.weight", layer, Rule.SINGULAR, rank)


class SingularBasis(nn.Module):
    """Singular vectors of one convolution kernel, reshaped to (out, in * kh * kw).

    Fixed; only the singular values are scaled. Found in float64 from the eigenvectors of the
    smaller Gram matrix, largest singular value first, in less than half the time of an SVD.
    """

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().double().flatten(1)
        wide = matrix.shape[0] <= matrix.shape[1]
        gram = matrix @ matrix.T if wide else matrix.T @ matrix
        vectors = torch.linalg.eigh(gram).eigenvectors.flip(1)
        left, right = (vectors, vectors.T @ matrix) if wide else (matrix @ vectors, vectors.T)
        self.register_buffer("left", left.to(weight.dtype), persistent=False)
        self.register_buffer("right", right.to(weight.dtype), persistent=False)
        self.shape = weight.shape

    def residual(self, log_scale_R: Tensor) -> Tensor:
        """``U diag(s (exp(a) - 1)) V^T`` in the kernel's own shape; exactly zero for a = 0."""
        return ((self.left * torch.expm1(log_scale_R)) @ self.right).view(self.shape)


def bounded(values: Tensor, bound: float = RESIDUAL_BOUND) -> Tensor:
    """Squash to (-bound, bound); the identity near zero."""
    return bound * torch.tanh(values / bound)
