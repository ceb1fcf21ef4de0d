"""Few-shot methods on frozen public features, to be compared with on the same episodes.

Shapes: S support images, Q query images, N classes, D features.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from sgps.encoders.images import load_image_encoder
from sgps.encoders.target_networks import DEFAULT_TARGET
from sgps.evaluation.features import FeatureBank
from sgps.evaluation.methods import EpisodeInputs, Prediction
from sgps.evaluation.metrics import Floats, Ints

Head = Callable[[Floats], Floats]
"""A fitted head: query features (Q, D) to logits (Q, N)."""

RIDGE_STRENGTH = 1.0


@dataclass(frozen=True)
class FeatureBaseline:
    """A head fitted to frozen features.

    `fit` takes support features (S, D), their classes (S,) and the number of classes, and returns
    the head; its logits are divided by `temperature`.
    """

    name: str
    bank: FeatureBank
    fit: Callable[[Floats, Ints, int], Head]
    temperature: float

    def details(self) -> dict[str, Any]:
        """Return the frozen encoder, its digest and the temperature."""
        encoder = self.bank.encoder
        return {
            "encoder": encoder.name,
            "encoder_version": encoder.version,
            "temperature": self.temperature,
        }

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Fit the head to the support and score the queries.

        The features come from a bank, so the time counts the mean time of encoding one image for
        each support image.
        """
        support_SD = self.bank.features(episode.pool, np.concatenate(episode.support_rows))
        query_QD = self.bank.features(episode.pool, episode.query_rows)
        start = time.perf_counter()
        head = self.fit(support_SD, episode.support_labels, episode.n_way)
        seconds = time.perf_counter() - start + len(support_SD) * self.bank.seconds_per_image
        return Prediction(softmax(head(query_QD) / self.temperature, axis=1), seconds)


def fit_nearest_centroid(support_SD: Floats, labels_S: Ints, n_way: int) -> Head:
    """Score by the squared Euclidean distance to class means, in units of the means' own spread."""
    centroids_ND = _centroids(support_SD, labels_S, n_way)
    spread = 2 * centroids_ND.var(axis=0).sum() * n_way / (n_way - 1) + np.finfo(np.float64).eps
    norms_N = (centroids_ND**2).sum(1)

    def head(query_QD: Floats) -> Floats:
        products_QN = query_QD @ centroids_ND.T
        return np.asarray((2 * products_QN - norms_N) / spread)

    return head


def fit_cosine_centroid(support_SD: Floats, labels_S: Ints, n_way: int) -> Head:
    """Score by the cosine to the mean of a class's unit vectors."""
    centroids_ND = _unit_rows(_centroids(_unit_rows(support_SD), labels_S, n_way))

    def head(query_QD: Floats) -> Floats:
        return np.asarray(_unit_rows(query_QD) @ centroids_ND.T)

    return head


def fit_ridge(support_SD: Floats, labels_S: Ints, n_way: int) -> Head:
    """Score by ridge regression onto the classes, on features centred and scaled by the support."""
    mean_D = support_SD.mean(0)
    centred_SD = support_SD - mean_D
    scale = np.sqrt((centred_SD**2).sum(1).mean()) + np.finfo(np.float64).eps
    centred_SD = centred_SD / scale
    targets_SN = np.eye(n_way)[labels_S]
    prior_N = targets_SN.mean(0)
    gram_SS = centred_SD @ centred_SD.T + RIDGE_STRENGTH * np.eye(len(centred_SD))
    weight_DN = centred_SD.T @ np.linalg.solve(gram_SS, targets_SN - prior_N)

    def head(query_QD: Floats) -> Floats:
        return np.asarray((query_QD - mean_D) / scale @ weight_DN)

    return head


def public_baselines(bank: FeatureBank | None = None) -> tuple[FeatureBaseline, ...]:
    """Return the baselines on the public weights of the default target network.

    Their temperatures, and the strength of the ridge, are those of least cross-entropy over the
    datasets of role novel_val at 1 and 5 shots.

    Raises
    ------
    OperatorError: the package with the weights is not installed.
    """
    bank = bank or FeatureBank(load_image_encoder(DEFAULT_TARGET))
    return (
        FeatureBaseline("nearest_centroid", bank, fit_nearest_centroid, temperature=0.34),
        FeatureBaseline("cosine_centroid", bank, fit_cosine_centroid, temperature=0.1),
        FeatureBaseline("ridge", bank, fit_ridge, temperature=0.14),
    )


def _centroids(features_SD: Floats, labels_S: Ints, n_way: int) -> Floats:
    membership_NS = np.eye(n_way)[labels_S].T
    return np.asarray(membership_NS @ features_SD / membership_NS.sum(1, keepdims=True))


def _unit_rows(features: Floats) -> Floats:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(norms, np.finfo(np.float64).eps))
