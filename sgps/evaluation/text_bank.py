"""Vectors of a benchmark's texts, each embedded once for all methods and episodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from sgps.evaluation.metrics import Floats

Encode = Callable[[Sequence[str]], Tensor]
"""From n texts to their vectors (n, F)."""


class TextBank:
    """Vectors of texts; each text is embedded when it is first asked for.

    The first text that is not empty is embedded twice and timed the second time: the first time
    may load the encoder.
    """

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._vectors: dict[str, Floats] = {}
        self._seconds = 0.0
        self._warm = False

    @property
    def seconds_per_text(self) -> float:
        """Mean time of embedding one text."""
        return self._seconds / max(len(self._vectors), 1)

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Return float64 (N, F), a row a text."""
        for text in texts:
            if text not in self._vectors:
                self._vectors[text] = self._embed(text)
        return np.stack([self._vectors[text] for text in texts])

    def _embed(self, text: str) -> Floats:
        if text.strip() and not self._warm:
            self._encode([text])
            self._warm = True
        start = time.perf_counter()
        vector_F = self._encode([text])[0].cpu().numpy().astype(np.float64)
        self._seconds += time.perf_counter() - start
        return np.asarray(vector_F)


def any_described(descriptions: Sequence[str]) -> bool:
    """Whether a class has a description."""
    return any(text.strip() for text in descriptions)
