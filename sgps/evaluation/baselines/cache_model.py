"""Tip-Adapter, training-free: the support set as a key-value cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgps.evaluation.baselines.frozen import Classifier, FrozenBaseline
from sgps.evaluation.baselines.space import Support, Taps
from sgps.evaluation.metrics import Floats


@dataclass(frozen=True, kw_only=True)
class TipAdapter(FrozenBaseline):
    """Cache-model logits over base features plus a text term (Zhang et al. 2022, Tip-Adapter).

    ``exp(-beta (1 - cos(q, s)))`` of a query to each support row, averaged by class; the similarity
    to the class texts takes the place of CLIP's zero-shot logits, because no image-text pair is
    installed with the package.

    Attributes
    ----------
    sharpness: beta; chosen on novel_val.
    """

    label: ClassVar[str] = "tip_adapter"
    centring: float | None = 3.0
    temperatures: tuple[float, float] = (0.125, 0.0328)
    sharpness: float = 3.0
    text_weight: float = 2.0

    def details(self) -> dict[str, Any]:
        """Return the constants, and in which form Tip-Adapter is run."""
        form = "cache model over the base's features; text term of text_map for CLIP's logits"
        return super().details() | {"form": form}

    def fit(self, support: Support) -> Classifier:
        """Logits are the mean affinities to the rows of each class."""
        standardisation = self.standardise(support)
        keys_RD = standardisation.rows(support.taps)
        values_RN = support.one_hot_RN * (support.weights_R * support.n_way)[:, None]

        def logits(taps: Taps) -> Floats:
            cosines_QR = standardisation.rows(taps) @ keys_RD.T
            return np.asarray(np.exp(self.sharpness * (cosines_QR - 1)) @ values_RN)

        return logits
