import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestCentroid

from sgps.encoders import load_image_encoder
from sgps.evaluation import EpisodeInputs, FeatureBank, public_baselines
from sgps.evaluation.baselines import (
    RIDGE_STRENGTH,
    fit_cosine_centroid,
    fit_nearest_centroid,
    fit_ridge,
)


class ColourEncoder:
    """Mean colours; counts the images that it encodes."""

    name, version, width = "colour", "1", 3

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, images):
        self.encoded += len(images)
        return images.float().mean((2, 3))


def draw_episode(n_way: int = 3, shots: int = 2, queries: int = 4) -> EpisodeInputs:
    """Flat images: class c is bright in channel c."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(n_way), shots + queries)
    pool = rng.integers(0, 60, size=(len(labels), 3, 8, 8), dtype=np.uint8)
    pool[np.arange(len(labels)), labels] += 150
    rows = np.arange(len(labels)).reshape(n_way, -1)
    return EpisodeInputs(
        class_names=tuple("abc"[:n_way]),
        descriptions=("",) * n_way,
        pool=pool,
        support_rows=tuple(rows[:, :shots]),
        query_rows=rows[:, shots:].reshape(-1),
    )


@pytest.fixture
def features():
    rng = np.random.default_rng(1)
    labels_S = np.array([0, 0, 1, 1, 1, 2])
    return rng.normal(size=(6, 5)) + labels_S[:, None], labels_S, rng.normal(size=(8, 5)) + 1


def test_nearest_centroid_ranks_as_scikit_learn_does(features):
    support_SD, labels_S, query_QD = features
    logits_QN = fit_nearest_centroid(support_SD, labels_S, 3)(query_QD)
    reference = NearestCentroid().fit(support_SD, labels_S).predict(query_QD)
    np.testing.assert_array_equal(logits_QN.argmax(1), reference)


def test_centroids_do_not_depend_on_the_unit_of_the_features(features):
    support_SD, labels_S, query_QD = features
    logits_QN = fit_nearest_centroid(support_SD, labels_S, 3)(query_QD)
    scaled_QN = fit_nearest_centroid(100 * support_SD, labels_S, 3)(100 * query_QD)
    np.testing.assert_allclose(
        scaled_QN - scaled_QN.mean(1, keepdims=True), logits_QN - logits_QN.mean(1, keepdims=True)
    )


def test_cosine_centroid_by_hand():
    support_SD = np.array([[3.0, 0.0], [0.0, 2.0]])
    logits_QN = fit_cosine_centroid(support_SD, np.array([0, 1]), 2)(np.array([[5.0, 5.0], [1, 0]]))
    np.testing.assert_allclose(logits_QN, [[0.5**0.5, 0.5**0.5], [1, 0]])


def test_ridge_agrees_with_scikit_learn(features):
    support_SD, labels_S, query_QD = features
    centred_SD = support_SD - support_SD.mean(0)
    scale = np.sqrt((centred_SD**2).sum(1).mean())
    targets_SN = np.eye(3)[labels_S]
    reference = Ridge(alpha=RIDGE_STRENGTH).fit(centred_SD / scale, targets_SN)
    expected_QN = reference.predict((query_QD - support_SD.mean(0)) / scale) - targets_SN.mean(0)
    np.testing.assert_allclose(fit_ridge(support_SD, labels_S, 3)(query_QD), expected_QN)


@pytest.mark.parametrize("number", range(3))
def test_baselines_tell_plain_colours_apart(number):
    episode = draw_episode()
    prediction = public_baselines(FeatureBank(ColourEncoder()))[number].predict(episode)
    assert prediction.probs_QN.shape == (12, 3)
    assert prediction.probs_QN.dtype == np.float64
    np.testing.assert_allclose(prediction.probs_QN.sum(1), 1)
    np.testing.assert_array_equal(prediction.probs_QN.argmax(1), np.repeat([0, 1, 2], 4))
    assert prediction.seconds > 0


@pytest.mark.parametrize("number", range(3))
def test_one_image_as_every_class_gives_even_odds(number):
    episode = draw_episode(shots=1)
    same = tuple(episode.support_rows[0] for _ in range(3))
    even = EpisodeInputs(
        episode.class_names, episode.descriptions, episode.pool, same, episode.query_rows
    )
    prediction = public_baselines(FeatureBank(ColourEncoder()))[number].predict(even)
    np.testing.assert_allclose(prediction.probs_QN, 1 / 3)


def test_bank_encodes_each_row_once_for_all_baselines():
    encoder = ColourEncoder()
    episode = draw_episode()
    for baseline in public_baselines(FeatureBank(encoder)):
        baseline.predict(episode)
    assert encoder.encoded == len(episode.pool)


def test_bank_starts_anew_for_another_pool():
    bank = FeatureBank(ColourEncoder())
    rows = np.array([1, 0, 1])
    dark = np.zeros((2, 3, 4, 4), dtype=np.uint8)
    bright = np.full((2, 3, 4, 4), 200, dtype=np.uint8)
    np.testing.assert_array_equal(bank.features(dark, rows), np.zeros((3, 3)))
    np.testing.assert_array_equal(bank.features(bright, rows), np.full((3, 3), 200))


def test_default_bank_holds_the_public_lite0_features():
    episode = draw_episode()
    baseline = public_baselines()[0]
    images = torch.from_numpy(episode.query_images)
    expected = load_image_encoder("tf_efficientnet_lite0").encode(images).numpy()
    features = baseline.bank.features(episode.pool, episode.query_rows)
    np.testing.assert_allclose(features, expected, atol=1e-3)
    assert baseline.details()["encoder"] == "tf_efficientnet_lite0"


def test_episode_views():
    episode = draw_episode(n_way=2, shots=1, queries=3)
    assert [images.shape for images in episode.support_images] == [(1, 3, 8, 8)] * 2
    assert episode.query_images.shape == (6, 3, 8, 8)
    np.testing.assert_array_equal(episode.support_labels, [0, 1])
