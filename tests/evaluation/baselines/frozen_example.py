"""A tiny base, drawn episodes and drawn features for the tests of the baselines."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from sgps.evaluation.baselines.space import Support
from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import EpisodeInputs
from sgps.synthesizer.tapped_network import InputNormalisation, build_tapped_network

TARGET = "tf_efficientnet_lite0"


@cache
def untrained_base(name: str = "public") -> TapBank:
    """An untrained Lite0; its taps tell bright channels apart all the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_tapped_network(TARGET, pretrained=False)
    return TapBank(name, network, "0" * 64, InputNormalisation(TARGET))


@cache
def drawn_episode(
    shots: tuple[int, ...] = (2, 2, 2),
    texts: tuple[str, ...] = (),
    queries: int = 3,
    *,
    noise: int = 120,
    brightness: int = 60,
) -> EpisodeInputs:
    """Noise of 32 px, below a value, and brighter by another in channel c for class c."""
    rng = np.random.default_rng(0)
    per_class = max(shots) + queries
    labels = np.repeat(np.arange(len(shots)), per_class)
    pool = rng.integers(0, noise, size=(len(labels), 3, 32, 32), dtype=np.uint8)
    pool[np.arange(len(labels)), labels] += brightness
    rows = np.arange(len(labels)).reshape(len(shots), per_class)
    return EpisodeInputs(
        class_names=tuple("abc"[: len(shots)]),
        descriptions=texts or ("",) * len(shots),
        pool=pool,
        support_rows=tuple(row[:count] for row, count in zip(rows, shots, strict=True)),
        query_rows=rows[:, -queries:].reshape(-1),
    )


def drawn_support(
    counts: tuple[int, ...] = (3, 4, 5), widths: tuple[int, ...] = (3, 4), seed: int = 0
) -> tuple[Support, tuple[np.ndarray, ...]]:
    """Support features of several taps, and taps of seven queries."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    taps = tuple(
        rng.normal(size=(len(labels), width)) + labels[:, None] * rng.normal(size=width) + 1
        for width in widths
    )
    queries = tuple(rng.normal(size=(7, width)) + 1 for width in widths)
    return Support(taps, labels, len(counts)), queries


def softmax_rows(logits_QN: np.ndarray) -> np.ndarray:
    exponents_QN = np.exp(logits_QN - logits_QN.max(1, keepdims=True))
    return exponents_QN / exponents_QN.sum(1, keepdims=True)
