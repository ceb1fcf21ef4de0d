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

from sgps.evaluation.baselines.adapted import Adapted, predict_on_frozen_taps
from sgps.evaluation.baselines.gradient_steps import (
    FROZEN_STATISTICS,
    balanced_loss,
    descend,
    describe,
    trainable_copy,
)
from sgps.evaluation.baselines.ordered_support import OrderedSupport
from sgps.evaluation.baselines.tap_head import Start, TapHead, Taps, start_head
from sgps.evaluation.features import VIEWS, TapBank
from sgps.evaluation.methods import EpisodeInputs, Prediction
from sgps.synthesizer.tapped_network import TappedNetwork


@dataclass(frozen=True)
class Anil:
    """The head alone is adapted (Raghu et al. 2020).

    Attributes
    ----------
    base: the body.
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
        losses = descend(optimiser, lambda: balanced_loss(head.score(rows_SD), class_S), self.steps)
        return head, losses

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Adapt the head to the support, then score the queries."""
        return predict_on_frozen_taps(
            self.adapt, self.base, episode, views=self.views, temperature=self.temperature
        )


@dataclass(frozen=True)
class Maml:
    """Head and body are adapted, first order (Finn et al. 2017; head as in Proto-MAML).

    Attributes
    ----------
    base: the body.
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
        losses = descend(
            optimiser, lambda: balanced_loss(head.logits(network(inputs)), class_S), self.steps
        )
        return network.requires_grad_(False), head, losses

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Adapt head and body to the support, then score the queries."""
        begin = time.perf_counter()
        support = OrderedSupport.of(episode)
        network, head, _ = self.adapt(support)
        adapted = Adapted(head, time.perf_counter() - begin, network)
        return adapted.score(self.base, support, episode, self.temperature)
