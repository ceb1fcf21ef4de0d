"""What a method under test is given, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sgps.evaluation.metrics import Floats, Ints

Images = NDArray[np.uint8]

SGPS = "sgps"
"""Name of the method that the others are compared with."""


@dataclass(frozen=True)
class EpisodeInputs:
    """One episode as a method sees it: support images with classes, query images without.

    Attributes
    ----------
    class_names: N names; the class with number c is ``class_names[c]``.
    descriptions: N clinical texts, "" where there is none.
    pool: uint8 (M, 3, H, W), all images of the benchmark; the same array in every episode, so that
        a method may keep what it computed of a row.
    support_rows: for each class the rows (K_c,) of its support images in the pool.
    query_rows: the rows (Q,) of the query images in the pool. Some may show a class that is not in
        the task.
    query_pool: where the query rows are read instead of the pool: altered copies of its images.
    """

    class_names: tuple[str, ...]
    descriptions: tuple[str, ...]
    pool: Images
    support_rows: tuple[Ints, ...]
    query_rows: Ints
    query_pool: Images | None = None

    @property
    def n_way(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @cached_property
    def support_images(self) -> tuple[Images, ...]:
        """For each class uint8 (K_c, 3, H, W)."""
        return tuple(self.pool[rows] for rows in self.support_rows)

    @cached_property
    def query_images(self) -> Images:
        """Images to score: uint8 (Q, 3, H, W)."""
        return self.queries_from[self.query_rows]

    @property
    def queries_from(self) -> Images:
        """The array that the query rows are read from: uint8 (M, 3, H, W)."""
        return self.pool if self.query_pool is None else self.query_pool

    @cached_property
    def support_labels(self) -> Ints:
        """Class number (S,) of each support image, the classes one after another."""
        counts = [len(rows) for rows in self.support_rows]
        return np.repeat(np.arange(self.n_way), counts)


@dataclass(frozen=True)
class Prediction:
    """What a method answers.

    Attributes
    ----------
    probs_QN: float64 (Q, N), rows summing to 1, in the order of queries and classes of the episode.
    seconds: from the support images to a classifier, without the time of the queries.
    query_seconds: from the query images to their probabilities; NaN where it was not measured.
    familiarity_Q: float64 (Q,), the higher the likelier the image shows a class of the task; None
        stands for the highest probability.
    """

    probs_QN: Floats
    seconds: float
    query_seconds: float = float("nan")
    familiarity_Q: Floats | None = None


class Method(Protocol):
    """A few-shot method; it must treat each query on its own."""

    @property
    def name(self) -> str:
        """What a report calls it."""
        ...

    def details(self) -> dict[str, Any]:
        """Return what defines the method (weights, digests, constants), ready for JSON."""
        ...

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Make a classifier from the episode's support and score its queries."""
        ...
