from dataclasses import replace

import numpy as np
import pytest
import torch

from sgps.evaluation.baselines.adapted import frozen_taps
from sgps.evaluation.baselines.meta_learning import Anil, Maml
from sgps.evaluation.baselines.ordered_support import OrderedSupport
from sgps.evaluation.baselines.tap_head import start_head
from sgps.evaluation.features import TapBank
from sgps.synthesizer.sealed import digest_tensors


def methods(base: TapBank) -> list:
    return [Anil(base, steps=3), Maml(base, steps=2)]


@pytest.mark.parametrize("start", ["zero", "prototypes", "ridge"])
def test_loss_falls_on_separable_colours(base, episode, start):
    support = OrderedSupport.of(episode)
    taps = frozen_taps(base, episode.pool, support.rows_S)
    losses = Anil(base, steps=4, start=start).adapt(taps, support.class_S)[1]
    assert losses == sorted(losses, reverse=True)
    losses = Maml(base, steps=3, start=start).adapt(support)[2]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("start", ["zero", "prototypes", "ridge"])
def test_anil_without_a_step_is_its_initial_head(base, episode, start):
    support = OrderedSupport.of(episode)
    taps = frozen_taps(base, episode.pool, support.rows_S)
    anil = Anil(base, steps=0, start=start, first_tap=0)
    head, losses = anil.adapt(taps, support.class_S)
    assert losses == []
    initial = start_head(taps, support.class_S, start)
    torch.testing.assert_close(head.logits(taps), initial.logits(taps), atol=0, rtol=0)


def test_maml_that_leaves_the_body_is_anil(base, episode):
    constants = {"steps": 3, "start": "prototypes", "start_scale": 3.0, "temperature": 1.0}
    maml = Maml(base, body_rate=0.0, head_rate=3.0, **constants)
    anil = Anil(base, rate=3.0, views=1, **constants)
    np.testing.assert_allclose(
        maml.predict(episode).probs_QN, anil.predict(episode).probs_QN, atol=1e-4
    )


@pytest.mark.parametrize("number", range(2))
def test_unequal_shots_and_again_the_same(base, episode, number):
    unequal = replace(
        episode, support_rows=(episode.support_rows[0], *(r[:1] for r in episode.support_rows[1:]))
    )
    first, again = (methods(base)[number].predict(unequal).probs_QN for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first.argmax(1), np.repeat([0, 1, 2], 3))


@pytest.mark.parametrize("number", range(2))
def test_one_image_as_every_class_gives_even_odds(base, episode, number):
    same = replace(episode, support_rows=(episode.support_rows[0][:1],) * 3)
    prediction = methods(base)[number].predict(same)
    np.testing.assert_allclose(prediction.probs_QN, 1 / 3, atol=1e-3)


def test_maml_leaves_the_base_as_it_is(base, episode):
    before = digest_tensors(base.network.state_dict())
    network = Maml(base, steps=2, body_rate=1e-2).adapt(OrderedSupport.of(episode))[0]
    assert digest_tensors(base.network.state_dict()) == before
    assert digest_tensors(network.state_dict()) != before
