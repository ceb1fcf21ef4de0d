"""One pass, many tasks: the loss of a body that all tasks share."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from sgps.synthesizer.head import solve_head
from sgps.synthesizer.head_parameters import HeadParameters
from sgps.synthesizer.support_labels import SupportLabels
from sgps.training.shared_body import split_loss

DOUBLE = torch.float64
Taps = tuple[torch.Tensor, ...]


def random_taps(images: int, seed: int = 0) -> Taps:
    random = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(images, width, dtype=DOUBLE, generator=random) for width in (3, 4))


def parameters(width: int = 7, log_temperature: torch.Tensor | None = None) -> HeadParameters:
    by_default = torch.tensor(2.0, dtype=DOUBLE)
    return HeadParameters(
        log_tap_weights_T=torch.tensor([0.5, 1.0], dtype=DOUBLE).log(),
        log_ridge=torch.tensor(0.3, dtype=DOUBLE).log(),
        log_temperature=by_default if log_temperature is None else log_temperature,
        text_weights_ND=torch.zeros(1, width, dtype=DOUBLE),
    )


def loss_of(taps: Taps, seed: int = 0, **changes: int) -> float:
    shape = {"images_a_class": 4, "splits": 3, "max_shots": 2} | changes
    width = sum(tap.shape[1] for tap in taps)
    return float(split_loss(taps, parameters(width), np.random.default_rng(seed), **shape))


def test_is_a_function_of_the_seed() -> None:
    taps = random_taps(12)
    assert loss_of(taps, 5) == loss_of(taps, 5)
    assert loss_of(taps, 5) != loss_of(taps, 6)


def test_the_gradient_is_that_of_finite_differences() -> None:
    def loss(first: torch.Tensor, second: torch.Tensor, log_temperature: torch.Tensor) -> object:
        return split_loss(
            (first, second), parameters(7, log_temperature), np.random.default_rng(3),
            images_a_class=3, splits=3, max_shots=2,
        )  # fmt: skip

    inputs = [*random_taps(9), torch.tensor(1.0, dtype=DOUBLE)]
    inputs = [tensor.requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True)


@pytest.mark.parametrize("seed", range(4))
def test_the_first_split_is_one_shot_with_all_classes(seed: int) -> None:
    """Of two images a class one is support and one is query: the loss is one of four."""
    taps = random_taps(4, seed)
    possible = []
    for chosen in product((0, 1), repeat=2):
        support = [2 * number + place for number, place in enumerate(chosen)]
        query = [2 * number + 1 - place for number, place in enumerate(chosen)]
        labels = SupportLabels(torch.tensor([0, 1]), 2, DOUBLE)
        head = solve_head(tuple(t[support] for t in taps), labels, parameters(), unit_rows=True)
        logits_QN = head.logits(tuple(tap[query] for tap in taps))
        possible.append(float(torch.nn.functional.cross_entropy(logits_QN, labels.class_S)))
    loss = loss_of(taps, seed, images_a_class=2, splits=1, max_shots=5)
    assert any(loss == pytest.approx(candidate, abs=1e-12) for candidate in possible)


def test_more_shots_are_drawn_than_the_first_split_has() -> None:
    """Had every split one shot, the most shots would change nothing."""
    taps = random_taps(12)
    assert loss_of(taps, splits=1, max_shots=1) == loss_of(taps, splits=1, max_shots=3)
    assert loss_of(taps, splits=6, max_shots=1) != loss_of(taps, splits=6, max_shots=3)


def test_no_image_is_support_and_query_at_once() -> None:
    """Two images a class leave one of each whatever is asked for; unlike ones cannot be told."""
    alone = torch.eye(8, dtype=DOUBLE)  # 8 images, none like another
    loss = loss_of((alone, alone), images_a_class=2, splits=4, max_shots=5)
    assert loss > np.log(2) / 2


def test_classes_are_told_apart_where_their_images_are_alike() -> None:
    means_ND = torch.eye(3, dtype=DOUBLE)
    alike = means_ND.repeat_interleave(4, dim=0)
    shuffled = means_ND.repeat(4, 1)
    apart, mixed = (loss_of((taps, taps), splits=4) for taps in (alike, shuffled))
    assert apart < 0.1 < mixed
