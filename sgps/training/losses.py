"""The loss of one training episode, a pure function of the configuration and its number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sgps.episodes import ClassPool, Episode, EpisodeSpec, sample_episode
from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.training.augmentation import augment_episode
from sgps.training.config import MetaTrainingConfig
from sgps.training.image_bank import EpisodeTensors, ImageBank
from sgps.training.shared_body import split_loss


class EpisodeLoss:
    """Draws episodes of the training pools and scores the generator on them.

    With task codes an episode is one task: synthesize from the support, cross-entropy of the
    queries. Without, the body is the same for every task, and one pass over the episode's images
    serves several tasks (:func:`sgps.training.shared_body.split_loss`).
    """

    def __init__(
        self,
        config: MetaTrainingConfig,
        hypernetwork: Hypernetwork,
        bank: ImageBank,
        pools: Sequence[ClassPool],
    ) -> None:
        self.config = config
        self.hypernetwork = hypernetwork
        self.bank = bank
        self.pools = list(pools)
        ways, shots = (config.min_ways, config.max_ways), (config.min_shots, config.max_shots)
        self.equal_spec, self._unequal_spec = (
            EpisodeSpec(n_way=ways, k_shot=shots, n_query=config.queries, unequal_shots=unequal)
            for unequal in (False, True)
        )
        self._full_spec = EpisodeSpec(n_way=ways, k_shot=config.max_shots, n_query=config.queries)

    def __call__(self, number: int) -> Tensor:
        """Loss (scalar) of the episode with this number."""
        random = np.random.default_rng([self.config.seed, number, 7])
        if self.config.generator.task_codes:
            return self._task_loss(number, random)
        return self._split_loss(number, random)

    def _task_loss(self, number: int, random: np.random.Generator) -> Tensor:
        unequal = random.random() < self.config.unequal_share
        episode = self._draw(self._unequal_spec if unequal else self.equal_spec, number)
        with_texts = bool(random.random() >= self.config.text_dropout)
        tensors = self._tensors(episode, random, with_texts=with_texts)
        with self._autocast(tensors):
            synthesis = self.hypernetwork.generate(
                tensors.support, tensors.labels, tensors.texts_NF
            )
            logits_QN = self.hypernetwork.logits(synthesis, tensors.query)
        return torch.nn.functional.cross_entropy(
            logits_QN.float(),
            tensors.query_labels_Q,
            label_smoothing=self.config.label_smoothing,
        )

    def _split_loss(self, number: int, random: np.random.Generator) -> Tensor:
        tensors = self._tensors(self._draw(self._full_spec, number), random, with_texts=False)
        images, images_a_class = _class_after_class(tensors)
        with self._autocast(tensors):
            body = self.hypernetwork.shared_body(share=1.0)
            taps = self.hypernetwork.taps_under(body, images)
        centre_taps = len(self.hypernetwork.network.centre_of)
        return split_loss(
            taps[centre_taps:],
            self.hypernetwork.generator.head_priors.plain(),
            random,
            images_a_class=images_a_class,
            splits=self.config.splits,
            max_shots=self.config.max_shots,
        )

    def _draw(self, spec: EpisodeSpec, number: int) -> Episode:
        return sample_episode(self.pools, spec, seed=self.config.seed, number=number)

    def _tensors(
        self, episode: Episode, random: np.random.Generator, *, with_texts: bool
    ) -> EpisodeTensors:
        tensors = self.bank.episode(episode, with_texts=with_texts)
        if not self.config.augment:
            return tensors
        return augment_episode(tensors, int(random.integers(2**62)))

    def _autocast(self, tensors: EpisodeTensors) -> torch.autocast:
        on_gpu = tensors.support.device.type == "cuda"
        return torch.autocast("cuda", dtype=torch.bfloat16, enabled=on_gpu)


def _class_after_class(tensors: EpisodeTensors) -> tuple[Tensor, int]:
    """All images of an episode of equal shots, (N M, 3, H, W), and M; queries beyond are left."""
    ways = tensors.labels.ways
    queries = int(torch.bincount(tensors.query_labels_Q, minlength=ways).min())
    parts = []
    for number in range(ways):
        parts.append(tensors.support[tensors.labels.class_S == number])
        parts.append(tensors.query[tensors.query_labels_Q == number][:queries])
    images = torch.cat(parts)
    return images, len(images) // ways
