"""A support in an order of its own, for methods whose answer would depend on the order.

Shapes: S support images, N classes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import EpisodeInputs, Images
from sgps.evaluation.metrics import Ints


@dataclass(frozen=True)
class OrderedSupport:
    """Support images and classes in an order that follows from the pixels alone.

    So neither the order of the classes nor that of the images changes what a method learns.

    Attributes
    ----------
    rows_S: row of each image in the pool.
    images: uint8 (S, 3, H, W).
    class_S: int64, class of each image, numbered in this order.
    place_N: for each class of the episode, its number in this order.
    digest: sha256 of the images and of which of them are of one class.
    """

    rows_S: Ints
    images: Images
    class_S: Tensor
    place_N: Ints
    digest: str

    @classmethod
    def of(cls, episode: EpisodeInputs) -> OrderedSupport:
        """Return the support of an episode."""
        named = [
            sorted((hashlib.sha256(episode.pool[row].tobytes()).hexdigest(), row) for row in rows)
            for rows in episode.support_rows
        ]
        order = sorted(range(episode.n_way), key=lambda number: named[number])
        rows_S = np.array([row for number in order for _, row in named[number]], dtype=np.int64)
        counts = torch.tensor([len(named[number]) for number in order])
        text = ";".join(",".join(digest for digest, _ in named[number]) for number in order)
        return cls(
            rows_S=rows_S,
            images=episode.pool[rows_S],
            class_S=torch.arange(episode.n_way).repeat_interleave(counts),
            place_N=np.argsort(order),
            digest=hashlib.sha256(text.encode()).hexdigest(),
        )

    def tensors(self, base: TapBank) -> tuple[Tensor, Tensor]:
        """Return the images and their classes where the base's network is."""
        return torch.from_numpy(self.images).to(base.device), self.class_S.to(base.device)

    def random(self) -> torch.Generator:
        """Return a generator of random numbers whose seed is the digest."""
        return torch.Generator().manual_seed(int(self.digest[:15], 16))
