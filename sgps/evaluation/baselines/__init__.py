"""What the synthesizer is compared with: few-shot methods on a frozen or fine-tuned body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sgps.errors import InputError
from sgps.evaluation.baselines.cache_model import TipAdapter
from sgps.evaluation.baselines.centroids import (
    CentredCosineCentroid,
    CosineCentroid,
    NearestCentroid,
)
from sgps.evaluation.baselines.discriminants import LDA, LDAWithText, SimpleCNAPs
from sgps.evaluation.baselines.linear import (
    LogisticRegression,
    RidgeLast,
    RidgeTaps,
    RidgeTapsWithText,
)
from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import Method

Which = Literal["none", "fast", "all"]

FAST = (
    NearestCentroid,
    CosineCentroid,
    CentredCosineCentroid,
    LDA,
    LDAWithText,
    SimpleCNAPs,
    LogisticRegression,
    RidgeLast,
    RidgeTaps,
    RidgeTapsWithText,
    TipAdapter,
)
"""The baselines that need no iterative training of a network."""


def build_baselines(which: Which, bases: Sequence[TapBank]) -> tuple[Method, ...]:
    """Return the baselines on each of the bases, named ``<base>/<baseline>``.

    which: "none"; "fast", those without iterative training of a network; "all" adds fine-tuning,
    MAML and their like.

    Raises
    ------
    InputError: `which` is none of the three.
    """
    if which not in ("none", "fast", "all"):
        raise InputError(f"baselines {which!r}", expected="none, fast or all")
    methods: list[Method] = []
    for base in bases if which != "none" else ():
        methods.extend(baseline(base=base) for baseline in FAST)
        methods.extend(_of_easyfsl(base))
        if which == "all":
            methods.extend(_iterative(base))
    return tuple(methods)


def _of_easyfsl(base: TapBank) -> tuple[Method, ...]:
    from sgps.evaluation.baselines.easyfsl_methods import easyfsl_baselines  # noqa: PLC0415 heavy

    return easyfsl_baselines(base)


def _iterative(base: TapBank) -> tuple[Method, ...]:
    from sgps.evaluation.baselines.iterative import iterative_baselines  # noqa: PLC0415 heavy

    return iterative_baselines(base)


__all__ = ["Which", "build_baselines"]
