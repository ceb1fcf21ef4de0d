"""The task encoder reads features of about zero mean and unit spread."""

from __future__ import annotations

from dataclasses import replace

import torch

from sgps.datasets.storage import StoredDataset
from sgps.episodes import EpisodeSpec, sample_episode
from sgps.synthesizer import Hypernetwork
from sgps.training import MetaTrainingConfig
from sgps.training.image_bank import ImageBank
from sgps.training.pools import build_pools
from sgps.training.token_statistics import standardise_tokens


def test_statistics_are_those_of_support_images_of_the_episodes(
    config: MetaTrainingConfig, bank: ImageBank, phantoms: StoredDataset
) -> None:
    generator = replace(config.generator, task_codes=True)
    hypernetwork = Hypernetwork.create(generator, pretrained=False)
    pools = build_pools([phantoms], ("meta_train",), 3)
    spec = EpisodeSpec(n_way=3, k_shot=2, n_query=1)
    standardise_tokens(hypernetwork, bank, pools, spec=spec, seed=5)
    images = torch.cat(
        [
            bank.episode(sample_episode(pools, spec, seed=5, number=number)).support[:4]
            for number in range(64)
        ]
    )
    with torch.no_grad():
        features = torch.cat(hypernetwork.network(hypernetwork.normalise(images)), 1)
    encoder = hypernetwork.generator.task_encoder
    assert not encoder.feature_mean.requires_grad
    torch.testing.assert_close(encoder.feature_mean, features.mean(0), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(
        encoder.feature_std, features.std(0).clamp_min(1e-3), atol=1e-4, rtol=1e-3
    )
