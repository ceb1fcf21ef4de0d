"""The loss of a body that all tasks share: one pass over the images, many tasks out of them.

Shapes: N classes, M images a class, S support images, Q queries, D_t features of a tap.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sgps.synthesizer.head import solve_head
from sgps.synthesizer.head_parameters import HeadParameters
from sgps.synthesizer.support_labels import SupportLabels


def split_loss(
    taps: tuple[Tensor, ...],
    parameters: HeadParameters,
    random: np.random.Generator,
    *,
    images_a_class: int,
    splits: int,
    max_shots: int,
) -> Tensor:
    """Mean query cross-entropy over random splits of one pass into support and query.

    taps: (N M, D_t), class after class. Each split takes some of the classes and 1 to ``max_shots``
    (at most M - 1) images of each as support; the first takes all classes and one image of each.
    A pass through the body costs a thousand times what a closed-form head does, so each is used
    for several tasks.
    """
    ways = len(taps[0]) // images_a_class
    losses = [
        _task_loss(
            taps, parameters, random,
            classes=random.permutation(ways)[: _draw(random, 2, ways) if number % 2 else ways],
            shots=1 if number == 0 else _draw(random, 1, min(max_shots, images_a_class - 1)),
            images_a_class=images_a_class,
        )
        for number in range(splits)
    ]  # fmt: skip
    return torch.stack(losses).mean()


def _task_loss(
    taps: tuple[Tensor, ...],
    parameters: HeadParameters,
    random: np.random.Generator,
    *,
    classes: np.ndarray,
    shots: int,
    images_a_class: int,
) -> Tensor:
    order_NM = np.stack([random.permutation(images_a_class) for _ in classes])
    rows_NM = torch.from_numpy(classes[:, None] * images_a_class + order_NM).to(taps[0].device)
    support_S, query_Q = rows_NM[:, :shots].flatten(), rows_NM[:, shots:].flatten()
    ways = len(classes)
    numbers_N = torch.arange(ways, device=taps[0].device)
    labels = SupportLabels(numbers_N.repeat_interleave(shots), ways, taps[0].dtype)
    head = solve_head(tuple(tap[support_S] for tap in taps), labels, parameters, unit_rows=True)
    logits_QN = head.logits(tuple(tap[query_Q] for tap in taps))
    truth_Q = numbers_N.repeat_interleave(images_a_class - shots)
    return torch.nn.functional.cross_entropy(logits_QN, truth_Q)


def _draw(random: np.random.Generator, low: int, high: int) -> int:
    return int(random.integers(low, max(low, high) + 1))
