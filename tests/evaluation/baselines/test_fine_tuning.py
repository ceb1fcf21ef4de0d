from dataclasses import replace

import numpy as np
import pytest
import torch

from sgps.evaluation.baselines.adapted import frozen_taps
from sgps.evaluation.baselines.fine_tuning import (
    FineTuneLinear,
    FineTuner,
    FineTuneRidge,
    FineTuning,
    HeadOnly,
    augment,
    fine_tune,
)
from sgps.evaluation.baselines.ordered_support import OrderedSupport
from sgps.synthesizer.sealed import digest_tensors

SHORT = FineTuning(steps=2, body_rate=1e-5)  # untrained weights bear no more


def test_loss_falls_on_separable_colours(base, episode):
    support = OrderedSupport.of(episode)
    settings = replace(SHORT, steps=4, start="zero", head_rate=1e-2)
    losses = fine_tune(base, support, settings)[2]
    assert losses[0] == pytest.approx(np.log(3))
    assert losses == sorted(losses, reverse=True)
    taps = frozen_taps(base, episode.pool, support.rows_S)
    losses = HeadOnly(base, steps=4).adapt(taps, support.class_S)[1]
    assert losses == sorted(losses, reverse=True)


def test_a_query_is_scored_on_its_own(base, episode):
    alone = replace(episode, query_rows=episode.query_rows[:1])
    tuner = FineTuner(base, SHORT)
    together = FineTuneLinear(tuner).predict(episode).probs_QN
    np.testing.assert_allclose(
        FineTuneLinear(tuner).predict(alone).probs_QN, together[:1], atol=1e-5
    )


def test_the_base_keeps_its_tensors(base, episode):
    before = digest_tensors(base.network.state_dict())
    network = fine_tune(base, OrderedSupport.of(episode), SHORT)[0]
    assert digest_tensors(base.network.state_dict()) == before
    assert not any(parameter.requires_grad for parameter in base.network.parameters())
    assert not base.network.training
    changed = {
        name
        for (name, tensor), own in zip(
            network.state_dict().items(), base.network.state_dict().values(), strict=True
        )
        if not torch.equal(tensor, own)
    }
    assert "body.conv_stem.weight" in changed
    assert not any("running" in name for name in changed)


def test_two_heads_and_altered_queries_cost_one_training(base, episode):
    tuner = FineTuner(base, SHORT)
    linear = FineTuneLinear(tuner).predict(episode)
    trained = tuner.adapt(OrderedSupport.of(episode))
    altered = replace(episode, query_pool=255 - episode.pool)
    ridge = FineTuneRidge(tuner).predict(altered)
    assert tuner.adapt(OrderedSupport.of(episode)) is trained
    assert linear.seconds == trained.seconds < ridge.seconds
    fewer = replace(episode, support_rows=tuple(rows[:1] for rows in episode.support_rows))
    assert tuner.adapt(OrderedSupport.of(fewer)) is not trained


def test_augmented_images_stay_images_of_the_same_thing():
    images = torch.full((4, 3, 16, 16), 100, dtype=torch.uint8)
    images[:, 0] = 200
    varied = augment(images, torch.Generator().manual_seed(0))
    assert varied.shape == images.shape
    assert varied.min() >= 0
    assert varied.max() <= 255
    assert (varied[:, 0] > varied[:, 1:].amax(1)).all()
    assert not torch.equal(varied[0], varied[1])
    again = augment(images, torch.Generator().manual_seed(0))
    torch.testing.assert_close(varied, again, atol=0, rtol=0)
