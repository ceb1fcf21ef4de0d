"""The mean and spread of the features that a task encoder reads, from training episodes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sgps.episodes import ClassPool, EpisodeSpec, sample_episode
from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.training.image_bank import ImageBank

_EPISODES = 64
_IMAGES_AN_EPISODE = 4


@torch.no_grad()
def standardise_tokens(
    hypernetwork: Hypernetwork,
    bank: ImageBank,
    pools: Sequence[ClassPool],
    *,
    spec: EpisodeSpec,
    seed: int,
) -> None:
    """Set the task encoder's statistics to those of the base's features of support images.

    The images are the first 4 of each of the first 64 episodes of ``pools`` under ``seed``.
    """
    rows = []
    for number in range(_EPISODES):
        episode = sample_episode(pools, spec, seed=seed, number=number)
        images = bank.episode(episode, with_texts=False).support[:_IMAGES_AN_EPISODE]
        rows.append(torch.cat(hypernetwork.network(hypernetwork.normalise(images)), 1))
    features = torch.cat(rows).float()
    encoder = hypernetwork.generator.task_encoder
    encoder.feature_mean.copy_(features.mean(dim=0))
    encoder.feature_std.copy_(features.std(dim=0).clamp_min(1e-3))
