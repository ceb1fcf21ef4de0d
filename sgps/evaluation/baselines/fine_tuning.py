"""Fine-tuning on the support: the whole network, or a linear head on frozen features.

Shapes: S support images, N classes, D features over the taps that a head reads.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sgps.evaluation.baselines.adapted import (
    Adapted,
    network_taps,
    predict_on_frozen_taps,
)
from sgps.evaluation.baselines.gradient_steps import (
    FROZEN_STATISTICS,
    balanced_loss,
    descend,
    describe,
    trainable_copy,
)
from sgps.evaluation.baselines.ordered_support import OrderedSupport
from sgps.evaluation.baselines.tap_head import Start, TapHead, Taps, start_head
from sgps.evaluation.features import VIEWS, TapBank, view_of
from sgps.evaluation.methods import EpisodeInputs, Prediction
from sgps.synthesizer.tapped_network import TappedNetwork

_AUGMENTATION = "each image: two flips, crop to 80 % and more, contrast 20 %, tint 5 %"


def augment(images: Tensor, random: torch.Generator) -> Tensor:
    """Return float images (S, 3, H, W) in 0..255, each flipped, cropped and recoloured anew."""
    count = len(images)
    scale_S1 = 0.8 + 0.2 * torch.rand(count, 1, generator=random)
    shift_S2 = (2 * torch.rand(count, 2, generator=random) - 1) * (1 - scale_S1)
    mirror_S2 = torch.where(torch.rand(count, 2, generator=random) < 0.5, -1.0, 1.0)
    affine = torch.cat([torch.diag_embed(scale_S1 * mirror_S2), shift_S2.unsqueeze(2)], dim=2)
    gain = 1 + 0.2 * (2 * torch.rand(count, 1, 1, 1, generator=random) - 1)
    tint = 1 + 0.05 * (2 * torch.rand(count, 3, 1, 1, generator=random) - 1)
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    cropped = functional.grid_sample(
        images.float(), grid.to(images.device), padding_mode="reflection", align_corners=False
    )
    mean = cropped.mean(dim=(1, 2, 3), keepdim=True)
    contrasted = (cropped - mean) * gain.to(images.device) + mean
    return (contrasted * tint.to(images.device)).clamp(0, 255)


@dataclass(frozen=True)
class FineTuning:
    """How a whole network and a linear head are trained on a support.

    Attributes
    ----------
    steps: of AdamW, each on a random batch of augmented support images.
    batch: images a step, at most.
    body_rate, head_rate: learning rates of the first step; they fall to 0 along a cosine.
    weight_decay: of all weights.
    start, start_scale, first_tap: where the head begins, what it reads; see :func:`start_head`.
    """

    steps: int = 100
    batch: int = 8
    body_rate: float = 3e-4
    head_rate: float = 3e-3
    weight_decay: float = 1e-2
    start: Start = "ridge"
    start_scale: float = 3.0
    first_tap: int = -1


def fine_tune(
    base: TapBank, support: OrderedSupport, settings: FineTuning
) -> tuple[TappedNetwork, TapHead, list[float]]:
    """Return a trained copy of a base, its head over all taps, and the loss before each step."""
    network = trainable_copy(base)
    images, class_S = support.tensors(base)
    with torch.no_grad():
        taps = network(base.normalise(images))
    head = start_head(
        taps, class_S, settings.start, first_tap=settings.first_tap, scale=settings.start_scale
    ).trainable()
    groups: list[dict[str, Any]] = [
        {"params": list(network.parameters()), "lr": settings.body_rate},
        {"params": head.parameters(), "lr": settings.head_rate},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)
    random = support.random()

    def loss_of_batch() -> Tensor:
        picked = torch.randperm(len(images), generator=random)[: settings.batch]
        picked = picked.to(images.device)
        inputs = base.normalise(augment(images[picked], random))
        return balanced_loss(head.logits(network(inputs)), class_S[picked])

    losses = descend(optimiser, loss_of_batch, settings.steps, cosine=True)
    return network.requires_grad_(False), head, losses


@dataclass
class FineTuner:
    """Fine-tunes a base, and keeps what came of the support that it saw last.

    So two heads, and altered copies of the same queries, cost one training.
    """

    base: TapBank
    settings: FineTuning = field(default_factory=FineTuning)
    _latest: tuple[str, Adapted] | None = field(default=None, init=False, repr=False)

    def adapt(self, support: OrderedSupport) -> Adapted:
        """Return the trained network and head, with the seconds that the training took."""
        if self._latest is None or self._latest[0] != support.digest:
            self._latest = None
            begin = time.perf_counter()
            network, head, _ = fine_tune(self.base, support, self.settings)
            adapted = Adapted(head, time.perf_counter() - begin, network)
            self._latest = (support.digest, adapted)
        return self._latest[1]

    def details(self) -> dict[str, Any]:
        """Return the base's digest and how it is trained."""
        constants = describe(self.base, self.settings)
        return constants | {"normalisation": FROZEN_STATISTICS, "augmentation": _AUGMENTATION}


@dataclass(frozen=True)
class FineTuneLinear:
    """The whole network with the linear head that it was trained with."""

    tuner: FineTuner
    temperature: float = 2.2

    iterative: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """``<base>/fine_tune_linear``."""
        return f"{self.tuner.base.name}/fine_tune_linear"

    def details(self) -> dict[str, Any]:
        """Return how the network is trained, and the temperature."""
        return self.tuner.details() | {"temperature": self.temperature}

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Train on the support, then score the queries."""
        support = OrderedSupport.of(episode)
        adapted = self.tuner.adapt(support)
        return adapted.score(self.tuner.base, support, episode, self.temperature)


@dataclass(frozen=True)
class FineTuneRidge:
    """The same network with another head: ridge regression on its taps of the support.

    Attributes
    ----------
    tuner: trains the network.
    strength: of the ridge.
    first_tap: of the taps that it reads; see :class:`TapHead`.
    views: support views that it is solved on.
    temperature: divides the scores.
    """

    tuner: FineTuner
    strength: float = 0.3
    first_tap: int = 0
    views: int = VIEWS
    temperature: float = 0.36

    iterative: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """``<base>/fine_tune_ridge``."""
        return f"{self.tuner.base.name}/fine_tune_ridge"

    def details(self) -> dict[str, Any]:
        """Return how the network is trained, and the constants of the ridge."""
        own = ("strength", "first_tap", "views", "temperature")
        return self.tuner.details() | {name: getattr(self, name) for name in own}

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Train on the support, solve the head, then score the queries."""
        support = OrderedSupport.of(episode)
        adapted = self.tuner.adapt(support)
        assert adapted.network is not None
        begin = time.perf_counter()
        views = np.concatenate([view_of(support.images, view) for view in range(self.views)])
        taps = network_taps(self.tuner.base, adapted.network, views)
        class_S = support.class_S.repeat(self.views).to(taps[0].device)
        head = start_head(taps, class_S, "ridge", first_tap=self.first_tap, strength=self.strength)
        seconds = adapted.seconds + time.perf_counter() - begin
        solved = Adapted(head, seconds, adapted.network)
        return solved.score(self.tuner.base, support, episode, self.temperature)


@dataclass(frozen=True)
class HeadOnly:
    """A linear head trained on the frozen features of the support's views.

    Attributes
    ----------
    base: the body.
    steps: of AdamW, each on all rows.
    rate: learning rate of the first step; it falls to 0 along a cosine.
    weight_decay: of all weights.
    start, start_scale, first_tap: where the head begins, what it reads; see :func:`start_head`.
    views: support views that it is trained on.
    temperature: divides the logits.
    """

    base: TapBank
    steps: int = 100
    rate: float = 3e-2
    weight_decay: float = 1e-2
    start: Start = "zero"
    start_scale: float = 1.0
    first_tap: int = -1
    views: int = VIEWS
    temperature: float = 2.8

    iterative: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """``<base>/head_only``."""
        return f"{self.base.name}/head_only"

    def details(self) -> dict[str, Any]:
        """Return the base's digest and the constants."""
        return describe(self.base, self)

    def adapt(self, taps: Taps, class_S: Tensor) -> tuple[TapHead, list[float]]:
        """Return the head trained on taps (S, D_t), and the loss before each step."""
        head = start_head(
            taps, class_S, self.start, first_tap=self.first_tap, scale=self.start_scale
        ).trainable()
        rows_SD = head.rows(taps)
        optimiser = torch.optim.AdamW(
            head.parameters(), lr=self.rate, weight_decay=self.weight_decay
        )
        losses = descend(
            optimiser,
            lambda: balanced_loss(head.score(rows_SD), class_S),
            self.steps,
            cosine=True,
        )
        return head, losses

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Train the head on the support's views, then score the queries."""
        return predict_on_frozen_taps(
            self.adapt, self.base, episode, views=self.views, temperature=self.temperature
        )
