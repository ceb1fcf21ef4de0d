"""The baselines that take gradient steps on the support."""

from __future__ import annotations

from sgps.evaluation.baselines.fine_tuning import (
    FineTuneLinear,
    FineTuner,
    FineTuneRidge,
    HeadOnly,
)
from sgps.evaluation.baselines.meta_learning import Anil, Maml
from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import Method


def iterative_baselines(base: TapBank) -> tuple[Method, ...]:
    """Return the baselines on a base, fastest first; their constants were chosen on novel_val.

    The two fine-tuned ones share one training of an episode's support, as long as they, and all
    copies of its queries, are asked one after another.
    """
    tuner = FineTuner(base)
    return (
        HeadOnly(base),
        Anil(base),
        Maml(base),
        FineTuneLinear(tuner),
        FineTuneRidge(tuner),
    )
