"""Baselines that take gradient steps on the support, and what they share.

Shared: the support in an order of its own, the head over taps, the scoring of queries.

Shapes: S support images, Q queries, N classes, D features over the taps that a head reads.
"""

from __future__ import annotations

import copy
import hashlib
import time
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import EpisodeInputs, Images, Method, Prediction
from sgps.evaluation.metrics import Ints
from sgps.synthesizer.tapped_network import TappedNetwork

Taps = tuple[Tensor, ...]
Start = Literal["zero", "prototypes", "ridge"]

FROZEN_STATISTICS = "running statistics of the base; weights and biases are trained"
"""How a trained body normalises: statistics of a handful of images are worse than the base's."""

_BATCH = 32


def iterative_baselines(base: TapBank) -> tuple[Method, ...]:
    """Return the baselines on a base, fastest first; their constants were chosen on novel_val.

    The two fine-tuned ones share one training of an episode's support, as long as they, and all
    copies of its queries, are asked one after another.
    """
    from sgps.evaluation.baselines import (  # noqa: PLC0415  (they build on this module)
        fine_tuning,
        meta_learning,
    )

    tuner = fine_tuning.FineTuner(base)
    return (
        fine_tuning.HeadOnly(base),
        meta_learning.Anil(base),
        meta_learning.Maml(base),
        fine_tuning.FineTuneLinear(tuner),
        fine_tuning.FineTuneRidge(tuner),
    )


@dataclass(frozen=True)
class OrderedSupport:
    """Support images and classes in an order that follows from the pixels alone.

    So neither the order of the classes nor that of the images changes what a method learns.

    Attributes
    ----------
    rows_S: row of each image in the pool.
    images: uint8 (S, 3, H, W).
    class_S: int64, class of each image, numbered in this order.
    place_N: for each class of the episode, its number in this order.
    digest: sha256 of the images and of which of them are of one class.
    """

    rows_S: Ints
    images: Images
    class_S: Tensor
    place_N: Ints
    digest: str

    @classmethod
    def of(cls, episode: EpisodeInputs) -> OrderedSupport:
        """Return the support of an episode."""
        named = [
            sorted((hashlib.sha256(episode.pool[row].tobytes()).hexdigest(), row) for row in rows)
            for rows in episode.support_rows
        ]
        order = sorted(range(episode.n_way), key=lambda number: named[number])
        rows_S = np.array([row for number in order for _, row in named[number]], dtype=np.int64)
        counts = torch.tensor([len(named[number]) for number in order])
        text = ";".join(",".join(digest for digest, _ in named[number]) for number in order)
        return cls(
            rows_S=rows_S,
            images=episode.pool[rows_S],
            class_S=torch.arange(episode.n_way).repeat_interleave(counts),
            place_N=np.argsort(order),
            digest=hashlib.sha256(text.encode()).hexdigest(),
        )

    def tensors(self, base: TapBank) -> tuple[Tensor, Tensor]:
        """Return the images and their classes where the base's network is."""
        device = base.normalise.mean.device
        return torch.from_numpy(self.images).to(device), self.class_S.to(device)

    def random(self) -> torch.Generator:
        """Return a generator of random numbers whose seed is the digest."""
        return torch.Generator().manual_seed(int(self.digest[:15], 16))


@dataclass(frozen=True)
class TapHead:
    """A linear layer on unit rows of centred and scaled taps.

    ``logits = normalize((taps_D - centre_D) * scale_D) @ weight_ND^T + bias_N``, where the taps
    are those from number `first_tap` on: 0 for all of them, -1 for the last features alone.
    """

    first_tap: int
    centre_D: Tensor
    scale_D: Tensor
    weight_ND: Tensor
    bias_N: Tensor

    def rows(self, taps: Taps) -> Tensor:
        """Return what the linear layer sees, (Q, D), of taps of (Q, D_t) each."""
        rows_QD = (torch.cat(taps[self.first_tap :], dim=1) - self.centre_D) * self.scale_D
        return functional.normalize(rows_QD, dim=1, eps=1e-6)

    def logits(self, taps: Taps) -> Tensor:
        """Return (Q, N) of taps of (Q, D_t) each."""
        return self.score(self.rows(taps))

    def score(self, rows_QD: Tensor) -> Tensor:
        """Return logits (Q, N) of rows (Q, D)."""
        return rows_QD @ self.weight_ND.T + self.bias_N

    def parameters(self) -> list[Tensor]:
        """Return the tensors of the linear layer."""
        return [self.weight_ND, self.bias_N]

    def trainable(self) -> TapHead:
        """Return a copy whose linear layer takes gradients."""
        weight_ND, bias_N = self.weight_ND.clone(), self.bias_N.clone()
        return replace(self, weight_ND=weight_ND.requires_grad_(), bias_N=bias_N.requires_grad_())


def start_head(
    taps: Taps,
    class_S: Tensor,
    start: Start,
    *,
    first_tap: int = 0,
    scale: float = 1.0,
    strength: float = 0.3,
) -> TapHead:
    """Return a head that has seen support taps (S, D_t) and taken no gradient step.

    Each tap is centred and scaled to mean square norm 1 by the support. The linear layer begins at
    zero; or at the class means of the rows, ranking by Euclidean distance (Triantafillou et al.
    2020, Proto-MAML); or at ridge regression of some strength (linear probing before fine-tuning:
    Kumar et al. 2022). `scale` multiplies it. `first_tap`: see :class:`TapHead`.
    """
    members_SN = functional.one_hot(class_S).to(taps[0])
    weights_SN = members_SN / members_SN.sum(0)
    head = _zero_head(taps, weights_SN, first_tap)
    rows_SD = head.rows(taps)
    if start == "prototypes":
        means_ND = weights_SN.T @ rows_SD
        bias_N = -scale * means_ND.square().sum(1)
        return replace(head, weight_ND=2 * scale * means_ND, bias_N=bias_N)
    if start == "ridge":
        penalty_S = strength / (weights_SN.mean(1) * len(rows_SD))
        targets_SN = members_SN - 1 / members_SN.shape[1]
        kernel_SS = rows_SD @ rows_SD.T + torch.diag(penalty_S)
        dual_SN = torch.linalg.solve(kernel_SS, targets_SN)
        return replace(head, weight_ND=scale * dual_SN.T @ rows_SD)
    return head


def _zero_head(taps: Taps, weights_SN: Tensor, first_tap: int) -> TapHead:
    taps = taps[first_tap:]
    weights_S1 = weights_SN.mean(1, keepdim=True)
    centres = [(weights_S1 * tap).sum(0) for tap in taps]
    scales = [
        (weights_S1 * (tap - centre_D).square()).sum().add(1e-8).rsqrt().expand_as(centre_D)
        for tap, centre_D in zip(taps, centres, strict=True)
    ]
    centre_D, n_way = torch.cat(centres), weights_SN.shape[1]
    zeros = centre_D.new_zeros
    return TapHead(
        first_tap, centre_D, torch.cat(scales), zeros(n_way, len(centre_D)), zeros(n_way)
    )


def balanced_loss(logits_SN: Tensor, class_S: Tensor) -> Tensor:
    """Return the cross-entropy in which each class weighs alike, whatever its number of images."""
    counts_N = torch.bincount(class_S, minlength=logits_SN.shape[1]).clamp_min(1)
    return functional.cross_entropy(logits_SN, class_S, weight=counts_N.to(logits_SN).reciprocal())


def frozen_taps(base: TapBank, pool: Images, rows_S: Ints, views: int = 1) -> Taps:
    """Return float32 (views * S, D_t) for each tap, one view after another, from the bank."""
    by_view = [base.taps(pool, rows_S, view) for view in range(views)]
    return tuple(
        torch.from_numpy(np.concatenate(tap)).float() for tap in zip(*by_view, strict=True)
    )


def network_taps(base: TapBank, network: TappedNetwork, images: Images) -> Taps:
    """Return the taps (Q, D_t) of images uint8 (Q, 3, H, W) under a network of the base's kind."""
    device = base.normalise.mean.device
    with torch.inference_mode():
        blocks = [
            network(base.normalise(torch.from_numpy(images[first : first + _BATCH]).to(device)))
            for first in range(0, len(images), _BATCH)
        ]
        return tuple(torch.cat(tap) for tap in zip(*blocks, strict=True))


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


def describe(base: TapBank, constants: object) -> dict[str, Any]:
    """Return the digest and taps of a base, and the plain fields of a dataclass."""
    names = [field.name for field in fields(constants)]  # type: ignore[arg-type]
    values = {name: getattr(constants, name) for name in names}
    plain = {name: value for name, value in values.items() if isinstance(value, str | int | float)}
    return {"base_version": base.version, "taps": list(base.network.taps), **plain}


def trainable_copy(base: TapBank) -> TappedNetwork:
    """Return a copy of the base's network whose parameters take gradients, in eval mode."""
    return copy.deepcopy(base.network).eval().requires_grad_(True)


def take_step(optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
    """Take one step down a loss; return what it was."""
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.item()
