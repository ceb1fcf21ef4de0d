"""The target network's body, with pooled outputs of some of its blocks ("taps")."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from sgps.encoders.target_networks import create_target_network, input_statistics
from sgps.errors import UnknownNameError
from sgps.synthesizer.centre_pooling import centre_means

LAST = -1
"""Tap number of the last features, those that timm's own classifier sees."""

_TAP_DEPTHS = (1 / 3, 2 / 3, 0.9)
_CACHED_NUMBERS = 2**18
_CACHED_PIXELS = 200_000
_IMAGES_AT_ONCE_ON_GPU = 64


class TappedNetwork(nn.Module):
    """A timm EfficientNet body that returns pooled features of several depths.

    Parameters
    ----------
    body: a timm EfficientNet (Lite, B, V2) without classifier.
    taps: block numbers, counted over all stages, in ascending order, then ``LAST``.
    centres: widths of further means around the middle of each tapped block's features; see
        :func:`sgps.synthesizer.centre_pooling.centre_means`.

    ``forward`` takes normalised images of shape (Q, 3, H, W) and returns a tuple with one tensor
    of shape (Q, D_t) a tap. First the centre taps (D_t = C): for each width, one of each block.
    Then the plain ones: the spatial mean and standard deviation of a block's channels (D_t = 2 C),
    or the average-pooled last features (D_t = C).
    """

    def __init__(
        self, body: nn.Module, taps: tuple[int, ...], centres: tuple[float, ...] = ()
    ) -> None:
        super().__init__()
        self.body = body
        self.taps = taps
        self.centres = centres

    @property
    def centre_of(self) -> tuple[int, ...]:
        """For each centre tap, the place among all taps of the plain one of the same block."""
        blocks = len(set(self.taps) - {LAST})
        first = len(self.centres) * blocks
        return tuple(first + block for _ in self.centres for block in range(blocks))

    def without_centres(self) -> TappedNetwork:
        """The same body with its plain taps alone."""
        if not self.centres:
            return self
        return TappedNetwork(self.body, self.taps).train(self.training)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Pooled features of each tap; see the class."""
        body = cast(Any, self.body)
        features = body.bn1(body.conv_stem(images))
        pooled: list[Tensor] = []
        centred: list[tuple[Tensor, ...]] = []
        number = 0
        for stage in body.blocks:
            for block in stage:
                features = block(features)
                if number in self.taps:
                    pooled.append(_mean_and_deviation(features))
                    if self.centres:
                        centred.append(centre_means(features, self.centres))
                number += 1
        if LAST in self.taps:
            last = body.bn2(body.conv_head(features))
            pooled.append(last.mean(dim=(2, 3)))
        by_width = [tap for taps in zip(*centred, strict=True) for tap in taps]
        return (*by_width, *pooled)


def spatial_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean square (B, C) over the positions of (B, C, H, W) features.

    Two plain reductions: on a CPU ``torch.var_mean`` takes ten times as long as they do. Where no
    gradient is asked for, a CPU takes as many images at a time as its cache holds, so that large
    features are read once from memory: half the time again.
    """
    if features.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return _moments(features)
    images = max(1, _CACHED_NUMBERS // features.shape[1:].numel())
    blocks = [_moments(block) for block in torch.split(features, images)]
    return torch.cat([mean for mean, _ in blocks]), torch.cat([square for _, square in blocks])


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    return features.mean(dim=(2, 3)), features.square().mean(dim=(2, 3))


def _mean_and_deviation(features: Tensor) -> Tensor:
    mean, square = spatial_moments(features)
    variance = (square - mean.square()).clamp_min(0)
    return torch.cat([mean, (variance + 1e-6).sqrt()], dim=1)


def default_taps(body: nn.Module) -> tuple[int, ...]:
    """Blocks at 1/3, 2/3 and 9/10 of the depth, the last block, then the last features."""
    blocks = sum(len(stage) for stage in cast(Any, body).blocks)
    return (*(int(blocks * depth) for depth in _TAP_DEPTHS), blocks - 1, LAST)


def build_tapped_network(
    architecture: str,
    *,
    taps: tuple[int, ...] | None = None,
    centres: tuple[float, ...] = (),
    pretrained: bool = True,
    allow_downloads: bool = False,
) -> TappedNetwork:
    """Build the frozen, tapped body of a timm EfficientNet in eval mode.

    Raises
    ------
    UnknownNameError: the name is not known to timm, is not of the EfficientNet family, or its
        public weights come from the hub and downloads are not allowed.
    """
    body = create_target_network(
        architecture, pretrained=pretrained, allow_downloads=allow_downloads
    )
    missing = [
        name
        for name in ("conv_stem", "bn1", "blocks", "conv_head", "bn2")
        if not hasattr(body, name)
    ]
    if missing:
        raise UnknownNameError(
            f"target network {architecture!r} is no EfficientNet (it has no {missing[0]})",
            expected="a timm EfficientNet: tf_efficientnet_lite0, tf_efficientnetv2_s, ...",
        )
    network = TappedNetwork(body, taps or default_taps(body), centres)
    network.eval().requires_grad_(False)
    return use_channels_last(network)


def use_channels_last(network: TappedNetwork) -> TappedNetwork:
    """Lay a network's kernels out channels last, in place: 40 % off a forward pass on a CPU."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def images_at_once(resolution: int, device: torch.device) -> int:
    """How many images of a side to take through a network together where speed is all.

    On a CPU as many as leave the first layers' features in its cache: that takes a fifth (128
    pixels) to a half (224) off the time of large batches, and most of their memory.
    """
    if device.type != "cpu":
        return _IMAGES_AT_ONCE_ON_GPU
    return max(1, _CACHED_PIXELS // resolution**2)


def fold_normalisations(network: TappedNetwork) -> TappedNetwork:
    """Fold every batch normalisation into the convolution before it, in place.

    In eval mode a normalisation is a channel scale and an offset; both move into the convolution's
    weight and bias (computed in float64), which takes a pass over memory off each layer. The
    folded network gives the same features up to rounding; its state dict is another one.
    """
    for parent in list(network.body.modules()):
        children = list(parent.named_children())
        for (_, convolution), (name, normalisation) in pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
                _fold(convolution, normalisation)
                setattr(parent, name, getattr(normalisation, "act", nn.Identity()))
    return network


def _fold(convolution: nn.Conv2d, normalisation: nn.BatchNorm2d) -> None:
    mean_C, variance_C = normalisation.running_mean, normalisation.running_var
    assert mean_C is not None
    assert variance_C is not None
    scale_C = normalisation.weight.double() / (variance_C.double() + normalisation.eps).sqrt()
    offset_C = -mean_C.double()
    if convolution.bias is not None:
        offset_C = offset_C + convolution.bias
    weight = convolution.weight.double() * scale_C.view(-1, 1, 1, 1)
    bias_C = normalisation.bias + scale_C * offset_C
    convolution.weight = nn.Parameter(weight.to(convolution.weight), requires_grad=False)
    convolution.bias = nn.Parameter(bias_C.to(convolution.weight), requires_grad=False)


@dataclass(frozen=True)
class TapLayout:
    """What lies where in the features of a tapped network.

    Attributes
    ----------
    widths: feature width D_t of each tap.
    centre_of: as :attr:`TappedNetwork.centre_of`; as many taps come before the plain ones.
    """

    widths: tuple[int, ...]
    centre_of: tuple[int, ...] = ()

    @property
    def plain_widths(self) -> tuple[int, ...]:
        """Feature width of each plain tap."""
        return self.widths[len(self.centre_of) :]


def tap_layout(network: TappedNetwork, resolution: int = 64) -> TapLayout:
    """The layout of a network's features, found by one forward pass on an empty image."""
    reference = next(network.parameters())
    with torch.no_grad():
        outputs = network(reference.new_zeros(1, 3, resolution, resolution))
    return TapLayout(tuple(int(output.shape[1]) for output in outputs), network.centre_of)


class InputNormalisation(nn.Module):
    """Turn uint8 RGB images into the target network's input range.

    ``forward`` takes (Q, 3, H, W) uint8 and returns float of the same shape,
    ``(x / 255 - mean) / std`` with the channel statistics of ``architecture``, channels last.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: str) -> None:
        super().__init__()
        mean, std = input_statistics(architecture)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised float images; see the class."""
        inputs = (images.to(self.mean.dtype) / 255 - self.mean) / self.std
        return inputs.contiguous(memory_format=torch.channels_last)
