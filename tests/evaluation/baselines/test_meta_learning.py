from dataclasses import replace

import numpy as np
import pytest
import torch

from sgps.evaluation.baselines.iterative import OrderedSupport, frozen_taps, start_head
from sgps.evaluation.baselines.meta_learning import Anil, Maml
from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import EpisodeInputs
from sgps.synthesizer.sealed import digest_tensors
from sgps.synthesizer.tapped_network import InputNormalisation, build_tapped_network

TARGET = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def base() -> TapBank:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_tapped_network(TARGET, pretrained=False)
    return TapBank("public", network, "0" * 64, InputNormalisation(TARGET))


@pytest.fixture(scope="module")
def episode() -> EpisodeInputs:
    """Noisy flat images, 32 px: class c is bright in channel c; 2 shots, 3 queries a class."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 5)
    pool = rng.integers(0, 60, size=(15, 3, 32, 32), dtype=np.uint8)
    pool[np.arange(15), labels] += 150
    rows = np.arange(15).reshape(3, 5)
    return EpisodeInputs(
        ("a", "b", "c"), ("",) * 3, pool, tuple(rows[:, :2]), rows[:, 2:].reshape(-1)
    )


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
def test_plain_colours_are_told_apart(base, episode, number):
    prediction = methods(base)[number].predict(episode)
    assert prediction.probs_QN.dtype == np.float64
    np.testing.assert_allclose(prediction.probs_QN.sum(1), 1)
    np.testing.assert_array_equal(prediction.probs_QN.argmax(1), np.repeat([0, 1, 2], 3))
    assert prediction.seconds > 0
    assert prediction.query_seconds > 0


@pytest.mark.parametrize("number", range(2))
def test_order_of_classes_and_images_changes_nothing(base, episode, number):
    order = [1, 2, 0]
    reordered = replace(
        episode,
        class_names=tuple(episode.class_names[place] for place in order),
        support_rows=tuple(episode.support_rows[place][::-1] for place in order),
    )
    expected = methods(base)[number].predict(episode).probs_QN[:, order]
    np.testing.assert_array_equal(methods(base)[number].predict(reordered).probs_QN, expected)


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
