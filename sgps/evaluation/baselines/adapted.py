"""What gradient steps on a support leave behind, and how it scores the queries.

Shapes: S support images, Q queries, N classes, D_t features of a tap.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sgps.evaluation.baselines.ordered_support import OrderedSupport
from sgps.evaluation.baselines.tap_head import TapHead, Taps
from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import EpisodeInputs, Images, Prediction
from sgps.evaluation.metrics import Ints
from sgps.synthesizer.tapped_network import TappedNetwork

HeadTraining = Callable[[Taps, Tensor], tuple[TapHead, list[float]]]
"""From support taps (S, D_t) and classes (S,) to a head, and the loss before each step."""

_BATCH = 32


@dataclass(frozen=True)
class Adapted:
    """A head and, where it was trained too, a network; and the seconds that took."""

    head: TapHead
    seconds: float
    network: TappedNetwork | None = None

    def score(
        self, base: TapBank, support: OrderedSupport, episode: EpisodeInputs, temperature: float
    ) -> Prediction:
        """Score the queries of an episode, its classes in its own order."""
        begin, encoding = time.perf_counter(), 0.0
        if self.network is None:
            taps = frozen_taps(base, episode.queries_from, episode.query_rows)
            begin, encoding = time.perf_counter(), len(taps[0]) * base.seconds_per_image
        else:
            taps = network_taps(base, self.network, episode.query_images)
        with torch.inference_mode():
            logits_QN = self.head.logits(taps).double() / temperature
            probs_QN = logits_QN.softmax(dim=1).cpu().numpy()[:, support.place_N]
        seconds = time.perf_counter() - begin + encoding
        return Prediction(probs_QN, self.seconds, seconds)


def predict_on_frozen_taps(
    train: HeadTraining, base: TapBank, episode: EpisodeInputs, *, views: int, temperature: float
) -> Prediction:
    """Train a head on the frozen taps of the support's views, then score the queries.

    The taps come from a bank, so the times count the bank's mean time of encoding one image for
    each support image and view, and for each query.
    """
    support = OrderedSupport.of(episode)
    taps = frozen_taps(base, episode.pool, support.rows_S, views)
    begin = time.perf_counter()
    head, _ = train(taps, support.class_S.repeat(views))
    seconds = time.perf_counter() - begin + len(taps[0]) * base.seconds_per_image
    return Adapted(head, seconds).score(base, support, episode, temperature)


def frozen_taps(base: TapBank, pool: Images, rows_S: Ints, views: int = 1) -> Taps:
    """Return float32 (views * S, D_t) for each tap, one view after another, from the bank."""
    by_view = [base.taps(pool, rows_S, view) for view in range(views)]
    return tuple(
        torch.from_numpy(np.concatenate(tap)).float() for tap in zip(*by_view, strict=True)
    )


def network_taps(base: TapBank, network: TappedNetwork, images: Images) -> Taps:
    """Return the taps (Q, D_t) of images uint8 (Q, 3, H, W) under a network of the base's kind."""
    with torch.inference_mode():
        blocks = [
            network(
                base.normalise(torch.from_numpy(images[first : first + _BATCH]).to(base.device))
            )
            for first in range(0, len(images), _BATCH)
        ]
        return tuple(torch.cat(tap) for tap in zip(*blocks, strict=True))
