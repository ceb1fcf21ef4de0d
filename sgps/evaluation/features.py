"""Frozen features of a benchmark's images, computed once for all methods and episodes."""

from __future__ import annotations

import time

import numpy as np
import torch

from sgps.encoders.images import ImageEncoder
from sgps.evaluation.methods import Images
from sgps.evaluation.metrics import Floats, Ints


class FeatureBank:
    """Features of the rows of one pool of images, each encoded when it is first asked for."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self.encoder = encoder
        self._pool: Images | None = None
        self._features_MD = np.zeros((0, encoder.width))
        self._known_M = np.zeros(0, dtype=bool)
        self._seconds = 0.0

    @property
    def seconds_per_image(self) -> float:
        """Mean time of encoding one image of the present pool."""
        return self._seconds / max(int(self._known_M.sum()), 1)

    def features(self, pool: Images, rows: Ints) -> Floats:
        """Return float64 (len(rows), D) of rows of a pool uint8 (M, 3, H, W)."""
        if self._pool is not pool:
            self._start(pool)
        missing = np.unique(rows[~self._known_M[rows]])
        if len(missing):
            self._encode(pool, missing)
        return np.asarray(self._features_MD[rows], dtype=np.float64)

    def _start(self, pool: Images) -> None:
        self._pool = pool
        self._features_MD = np.zeros((len(pool), self.encoder.width))
        self._known_M = np.zeros(len(pool), dtype=bool)
        self._seconds = 0.0

    def _encode(self, pool: Images, rows: Ints) -> None:
        start = time.perf_counter()
        self._features_MD[rows] = self.encoder.encode(torch.from_numpy(pool[rows])).numpy()
        self._known_M[rows] = True
        self._seconds += time.perf_counter() - start
