"""The head's priors, fitted to the training classes under the body as it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sgps.episodes import ClassPool
from sgps.synthesizer.head_priors import DomainFeatures
from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.training.image_bank import ImageBank

_BATCH = 64


@torch.no_grad()
def fit_head_priors(
    hypernetwork: Hypernetwork,
    bank: ImageBank,
    pools: Sequence[ClassPool],
    *,
    images_a_class: int,
    seed: int,
) -> None:
    """Fit what the generator knows of every head to at most ``images_a_class`` images a class.

    Only classes of ``pools``, which are those of the training roles, are looked at.
    """
    tensors = hypernetwork.shared_body()
    domains = []
    for pool in pools:
        rows_of = choose_rows(pool, images_a_class, seed)
        rows = [row for chosen in rows_of for row in chosen]
        images = bank.images(pool.domain, rows)
        blocks = [
            hypernetwork.taps_under(tensors, images[start : start + _BATCH])
            for start in range(0, len(images), _BATCH)
        ]
        counts = torch.tensor([len(chosen) for chosen in rows_of])
        domains.append(
            DomainFeatures(
                taps=tuple(torch.cat(tap) for tap in zip(*blocks, strict=True)),
                class_I=torch.repeat_interleave(counts).to(images.device),
                texts_CF=bank.texts(pool.domain, pool.labels).to(images.device),
            )
        )
    hypernetwork.generator.head_priors.fit(domains)


def choose_rows(pool: ClassPool, count: int, seed: int) -> list[list[int]]:
    """At most ``count`` rows of each class, one of each group; which is decided by the seed."""
    chosen = []
    for number, groups in enumerate(pool.groups_by_label):
        order = np.random.default_rng([seed, number]).permutation(len(groups))[:count]
        chosen.append([groups[place].rows[0] for place in order])
    return chosen
