"""ANIL and MAML: a head, or head and body, adapted by a few steps of gradient descent.

No body is meta-trained here: the base's weights are the initial ones (the base ``meta`` comes from
meta-training, through another head), and the step sizes were chosen on novel_val.

Shapes: S support images, N classes, D features over the taps that a head reads.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from sgps.evaluation.baselines.iterative import (
    FROZEN_STATISTICS,
    Adapted,
    OrderedSupport,
    Start,
    TapHead,
    Taps,
    balanced_loss,
    describe,
    frozen_taps,
    start_head,
    take_step,
    trainable_copy,
)
from sgps.evaluation.features import VIEWS, TapBank
from sgps.evaluation.methods import EpisodeInputs, Prediction
from sgps.synthesizer.tapped_network import TappedNetwork


@dataclass(frozen=True)
class Anil:
    """The head alone is adapted (Raghu et al. 2020).

    Attributes
    ----------
    steps, rate: of gradient descent on the whole support.
    start, start_scale, first_tap: where the head begins, what it reads; see :func:`start_head`.
    views: support views that it is adapted to.
    temperature: divides the logits.
    """

    base: TapBank
    steps: int = 10
    rate: float = 3.0
    start: Start = "zero"
    start_scale: float = 1.0
    first_tap: int = -1
    views: int = VIEWS
    temperature: float = 1.0

    iterative: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """``<base>/anil``."""
        return f"{self.base.name}/anil"

    def details(self) -> dict[str, Any]:
        """Return the base's digest and the constants."""
        return describe(self.base, self)

    def adapt(self, taps: Taps, class_S: torch.Tensor) -> tuple[TapHead, list[float]]:
        """Return the head adapted to support taps (S, D_t), and the loss before each step."""
        head = start_head(
            taps, class_S, self.start, first_tap=self.first_tap, scale=self.start_scale
        ).trainable()
        rows_SD = head.rows(taps)
        optimiser = torch.optim.SGD(head.parameters(), lr=self.rate)
        losses = []
        with torch.enable_grad():
            for _ in range(self.steps):
                losses.append(take_step(optimiser, balanced_loss(head.score(rows_SD), class_S)))
        return head, losses

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Adapt the head to the support, then score the queries."""
        support = OrderedSupport.of(episode)
        taps = frozen_taps(self.base, episode.pool, support.rows_S, self.views)
        begin = time.perf_counter()
        head, _ = self.adapt(taps, support.class_S.repeat(self.views))
        seconds = time.perf_counter() - begin + len(taps[0]) * self.base.seconds_per_image
        return Adapted(head, seconds).score(self.base, support, episode, self.temperature)


@dataclass(frozen=True)
class Maml:
    """Head and body are adapted, first order (Finn et al. 2017; head as in Proto-MAML).

    Attributes
    ----------
    steps: of gradient descent on the whole support.
    body_rate, head_rate: learning rates.
    start, start_scale, first_tap: where the head begins, what it reads; see :func:`start_head`.
    temperature: divides the logits.
    """

    base: TapBank
    steps: int = 5
    body_rate: float = 3e-4
    head_rate: float = 3.0
    start: Start = "prototypes"
    start_scale: float = 3.0
    first_tap: int = -1
    temperature: float = 2.5

    iterative: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """``<base>/maml``."""
        return f"{self.base.name}/maml"

    def details(self) -> dict[str, Any]:
        """Return the base's digest and the constants."""
        return describe(self.base, self) | {"normalisation": FROZEN_STATISTICS}

    def adapt(self, support: OrderedSupport) -> tuple[TappedNetwork, TapHead, list[float]]:
        """Return an adapted copy of the base, its head, and the loss before each step."""
        network = trainable_copy(self.base)
        images, class_S = support.tensors(self.base)
        inputs = self.base.normalise(images)
        with torch.no_grad():
            head = start_head(
                network(inputs),
                class_S,
                self.start,
                first_tap=self.first_tap,
                scale=self.start_scale,
            )
        head = head.trainable()
        optimiser = torch.optim.SGD(
            [
                {"params": list(network.parameters()), "lr": self.body_rate},
                {"params": head.parameters(), "lr": self.head_rate},
            ]
        )
        losses = []
        with torch.enable_grad():
            for _ in range(self.steps):
                loss = balanced_loss(head.logits(network(inputs)), class_S)
                losses.append(take_step(optimiser, loss))
        return network.requires_grad_(False), head, losses

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Adapt head and body to the support, then score the queries."""
        begin = time.perf_counter()
        support = OrderedSupport.of(episode)
        network, head, _ = self.adapt(support)
        adapted = Adapted(head, time.perf_counter() - begin, network)
        return adapted.score(self.base, support, episode, self.temperature)
