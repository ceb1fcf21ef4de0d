"""How good a generator is on fixed episodes that it never learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from sgps.episodes import ClassPool, Episode, EpisodeSpec, sample_episodes
from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.training.image_bank import ImageBank

_FEW, _MANY = 1, 5
_MAX_WAYS = 5
_QUERIES = 5


@dataclass(frozen=True)
class ValidationScores:
    """Accuracies and losses over validation episodes.

    Attributes
    ----------
    accuracy: mean over datasets and shots.
    loss: mean cross-entropy, likewise.
    by_dataset: accuracy for each ``<dataset>/<k>-shot``.
    """

    accuracy: float
    loss: float
    by_dataset: Mapping[str, float]


def validation_episodes(
    pools: Sequence[ClassPool], *, max_shots: int, count: int, seed: int
) -> dict[str, list[Episode]]:
    """``count`` episodes for each dataset at 1 and 5 shots, or at 1 and ``max_shots`` if fewer.

    At most 5-way, always the same for a seed.
    """
    episodes: dict[str, list[Episode]] = {}
    for pool in pools:
        for shots in sorted({_FEW, min(_MANY, max_shots)}):
            spec = EpisodeSpec(
                n_way=min(_MAX_WAYS, len(pool.labels)), k_shot=shots, n_query=_QUERIES
            )
            episodes[f"{pool.domain}/{shots}-shot"] = sample_episodes(
                [pool], spec, count=count, seed=seed
            )
    return episodes


@torch.inference_mode()
def validate(
    hypernetwork: Hypernetwork, bank: ImageBank, episodes: Mapping[str, Sequence[Episode]]
) -> ValidationScores:
    """Score a generator on validation episodes, with texts."""
    accuracies: dict[str, float] = {}
    losses: list[float] = []
    for setting, setting_episodes in episodes.items():
        hits: list[float] = []
        for episode in setting_episodes:
            tensors = bank.episode(episode)
            synthesis = hypernetwork.generate(tensors.support, tensors.labels, tensors.texts_NF)
            logits_QN = hypernetwork.logits(synthesis, tensors.query)
            hits.append(float((logits_QN.argmax(1) == tensors.query_labels_Q).float().mean()))
            losses.append(
                float(torch.nn.functional.cross_entropy(logits_QN, tensors.query_labels_Q))
            )
        accuracies[setting] = sum(hits) / len(hits)
    return ValidationScores(
        accuracy=sum(accuracies.values()) / len(accuracies),
        loss=sum(losses) / len(losses),
        by_dataset=accuracies,
    )
