import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from sgps.evaluation.baselines.fine_tuning import (
    FineTuneLinear,
    FineTuner,
    FineTuneRidge,
    FineTuning,
    HeadOnly,
    augment,
    fine_tune,
)
from sgps.evaluation.baselines.iterative import (
    OrderedSupport,
    balanced_loss,
    frozen_taps,
    iterative_baselines,
    start_head,
)
from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import EpisodeInputs
from sgps.synthesizer.sealed import digest_tensors
from sgps.synthesizer.tapped_network import InputNormalisation, build_tapped_network

TARGET = "tf_efficientnet_lite0"
SHORT = FineTuning(steps=2, body_rate=1e-5)  # untrained weights bear no more


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
    tuner = FineTuner(base, SHORT)
    return [FineTuneLinear(tuner), FineTuneRidge(tuner), HeadOnly(base, steps=3)]


def test_loss_falls_on_separable_colours(base, episode):
    support = OrderedSupport.of(episode)
    settings = replace(SHORT, steps=4, start="zero", head_rate=1e-2)
    losses = fine_tune(base, support, settings)[2]
    assert losses[0] == pytest.approx(np.log(3))
    assert losses == sorted(losses, reverse=True)
    taps = frozen_taps(base, episode.pool, support.rows_S)
    losses = HeadOnly(base, steps=4).adapt(taps, support.class_S)[1]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("number", range(3))
def test_plain_colours_are_told_apart(base, episode, number):
    prediction = methods(base)[number].predict(episode)
    assert prediction.probs_QN.shape == (9, 3)
    assert prediction.probs_QN.dtype == np.float64
    np.testing.assert_allclose(prediction.probs_QN.sum(1), 1)
    np.testing.assert_array_equal(prediction.probs_QN.argmax(1), np.repeat([0, 1, 2], 3))
    assert prediction.seconds > 0
    assert prediction.query_seconds > 0


@pytest.mark.parametrize("number", range(3))
def test_order_of_classes_and_images_changes_nothing(base, episode, number):
    order = [2, 0, 1]
    reordered = replace(
        episode,
        class_names=tuple(episode.class_names[place] for place in order),
        support_rows=tuple(episode.support_rows[place][::-1] for place in order),
    )
    expected = methods(base)[number].predict(episode).probs_QN[:, order]
    np.testing.assert_array_equal(methods(base)[number].predict(reordered).probs_QN, expected)


@pytest.mark.parametrize("number", range(3))
def test_the_same_episode_gives_the_same_answer_whatever_the_global_seed(base, episode, number):
    torch.manual_seed(1)
    first = methods(base)[number].predict(episode)
    torch.manual_seed(2)
    again = methods(base)[number].predict(episode)
    np.testing.assert_array_equal(first.probs_QN, again.probs_QN)


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


def test_queries_are_read_from_their_own_pool(base, episode):
    swapped = replace(episode, query_pool=np.ascontiguousarray(episode.pool[:, [1, 2, 0]]))
    for method in methods(base):
        answers = method.predict(swapped).probs_QN.argmax(1)
        np.testing.assert_array_equal(answers, np.repeat([2, 0, 1], 3))


def test_ridge_start_agrees_with_scikit_learn():
    random = torch.Generator().manual_seed(0)
    taps = (torch.randn(6, 4, generator=random), torch.randn(6, 5, generator=random))
    class_S = torch.tensor([0, 0, 1, 1, 2, 2])
    head = start_head(taps, class_S, "ridge", strength=0.5)
    rows_SD = head.rows(taps).numpy()
    np.testing.assert_allclose(np.linalg.norm(rows_SD, axis=1), 1, rtol=1e-5)
    targets_SN = np.eye(3)[class_S.numpy()] - 1 / 3
    reference = Ridge(alpha=0.5, fit_intercept=False).fit(rows_SD, targets_SN)
    np.testing.assert_allclose(head.logits(taps), reference.predict(rows_SD), atol=1e-5)


def test_prototype_start_ranks_by_distance():
    random = torch.Generator().manual_seed(0)
    taps = (torch.randn(6, 4, generator=random), torch.randn(6, 5, generator=random))
    class_S = torch.tensor([0, 0, 1, 1, 1, 2])
    head = start_head(taps, class_S, "prototypes", first_tap=-1, scale=3.0)
    rows_SD = head.rows(taps)
    means_ND = torch.stack([rows_SD[class_S == number].mean(0) for number in range(3)])
    distances_SN = torch.cdist(rows_SD, means_ND).square()
    expected_SN = 3 * (rows_SD.square().sum(1, keepdim=True) - distances_SN)
    torch.testing.assert_close(head.logits(taps), expected_SN, atol=1e-5, rtol=0)


def test_each_class_weighs_alike_in_the_loss():
    logits_SN = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    loss = balanced_loss(logits_SN, torch.tensor([0, 0, 0, 1]))
    expected = (np.log1p(np.exp(-2)) + np.log1p(np.exp(1))) / 2
    assert loss.item() == pytest.approx(expected)


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


def test_names_and_details(base):
    listed = iterative_baselines(base)
    assert [method.name for method in listed] == [
        "public/head_only",
        "public/anil",
        "public/maml",
        "public/fine_tune_linear",
        "public/fine_tune_ridge",
    ]
    for method in listed:
        assert method.iterative
        details = json.loads(json.dumps(method.details()))
        assert details["base_version"] == "0" * 64
        assert details["steps"] > 0
    assert listed[3].tuner is listed[4].tuner
    assert "running statistics" in listed[3].details()["normalisation"]
