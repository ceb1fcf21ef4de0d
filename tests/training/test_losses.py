"""Losses of training episodes: pure functions of the settings and the episode's number."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from sgps.datasets.storage import StoredDataset
from sgps.episodes import ClassPool, GroupRows
from sgps.synthesizer import Hypernetwork
from sgps.training import MetaTrainingConfig
from sgps.training.image_bank import ImageBank
from sgps.training.losses import EpisodeLoss
from sgps.training.pools import build_pools


@pytest.fixture
def make_loss(config: MetaTrainingConfig, bank: ImageBank, phantoms: StoredDataset) -> EpisodeLoss:
    def make(hypernetwork: Hypernetwork, **changes: object) -> EpisodeLoss:
        settings = config.model_copy(update={"generator": hypernetwork.config, **changes})
        pools = build_pools([phantoms], settings.train_roles, settings.max_shots + 1)
        return EpisodeLoss(settings, hypernetwork, bank, pools)

    return make


def with_codes(config: MetaTrainingConfig) -> Hypernetwork:
    torch.manual_seed(0)
    return Hypernetwork.create(replace(config.generator, task_codes=True), pretrained=False)


@pytest.mark.parametrize("task_codes", [False, True], ids=["shared body", "codes"])
def test_is_a_function_of_the_number(
    config: MetaTrainingConfig, hypernetwork: Hypernetwork, make_loss: object, task_codes: bool
) -> None:
    loss_of = make_loss(with_codes(config) if task_codes else hypernetwork)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    losses = [float(loss_of(number).detach()) for number in (4, 5, 4)]
    assert losses[0] == losses[2] != losses[1]
    assert torch.equal(torch.get_rng_state(), before)


def test_every_delta_and_the_temperature_learn_and_nothing_else(
    hypernetwork: Hypernetwork, make_loss: object
) -> None:
    hypernetwork = copy.deepcopy(hypernetwork)
    make_loss(hypernetwork)(0).backward()
    gradients = {name: p.grad for name, p in hypernetwork.generator.named_parameters()}
    still = {name for name, grad in gradients.items() if grad is None or not grad.abs().sum() > 0}
    assert still == {"head_priors.log_ridge", "head_priors.log_tap_weights_T"}
    assert all(parameter.grad is None for parameter in hypernetwork.network.parameters())


def test_centre_taps_have_no_part_in_the_body(
    config: MetaTrainingConfig, make_loss: object
) -> None:
    """They join the head when its priors are fitted: the body learns what it learnt without."""
    losses = []
    for widths in ((), (0.35, 0.2)):
        torch.manual_seed(0)
        hypernetwork = Hypernetwork.create(
            replace(config.generator, centre_widths=widths), pretrained=False
        )
        loss = make_loss(hypernetwork)(2)
        loss.backward()
        losses.append((float(loss.detach()), [d.grad for d in hypernetwork.generator.deltas]))
    assert losses[0][0] == losses[1][0]
    for one, other in zip(losses[0][1], losses[1][1], strict=True):
        assert torch.equal(one, other)


def test_the_gradient_of_a_delta_is_that_of_finite_differences(
    hypernetwork: Hypernetwork, make_loss: object
) -> None:
    exact = copy.deepcopy(hypernetwork).double()
    loss_of = make_loss(exact)
    loss_of(1).backward()
    random = torch.Generator().manual_seed(0)
    for delta in list(exact.generator.deltas)[::12]:
        direction = torch.randn(delta.shape, dtype=torch.float64, generator=random)
        direction /= direction.norm()
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                delta.add_(step * direction)
                values.append(float(loss_of(1)))
                delta.sub_(step * direction)
        slope = float((delta.grad * direction).sum())
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_support_and_queries_of_a_class_stay_together(
    config: MetaTrainingConfig, hypernetwork: Hypernetwork
) -> None:
    """Classes of one pattern each, whose groups are unequal in number, are told apart at once."""
    random = torch.Generator().manual_seed(0)
    patterns = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=random)
    counts = (3, 4, 5, 6)
    images = torch.cat([patterns[n].expand(count, -1, -1, -1) for n, count in enumerate(counts)])
    starts = [sum(counts[:number]) for number in range(4)]
    groups = tuple(
        tuple(GroupRows(f"{start + place}", (start + place,)) for place in range(count))
        for start, count in zip(starts, counts, strict=True)
    )
    pool = ClassPool("patterns", ("a", "b", "c", "d"), groups)
    settings = config.model_copy(update={"augment": False, "queries": 4, "min_ways": 3})
    bank = ImageBank({"patterns": images}, {}, 384)
    loss_of = EpisodeLoss(settings, hypernetwork, bank, [pool])
    assert all(float(loss_of(number).detach()) < 0.2 for number in range(6))
