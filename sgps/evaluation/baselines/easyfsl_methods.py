"""Two inductive methods of the library easyfsl, on the last features of a base.

Shapes: S support images, Q queries, N classes, D features.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from sgps.encoders._torchvision_operators import import_timm
from sgps.evaluation.features import VIEWS, TapBank
from sgps.evaluation.methods import EpisodeInputs, Prediction
from sgps.evaluation.sources import BASELINE_SOURCES, source_digest

_NAMES = {"PrototypicalNetworks": "easyfsl_protonet", "SimpleShot": "easyfsl_simpleshot"}


@dataclass(frozen=True)
class EasyFslMethod:
    """A classifier of easyfsl whose backbone is the identity: it is given features.

    Attributes
    ----------
    base: gives the features.
    classifier: name of the class in ``easyfsl.methods``.
    normalise: whether features are centred on the support's mean and brought to unit length, by
        the library's own options (CL2N of Wang et al. 2019, SimpleShot; they centre on the mean of
        the base classes, which a user of public weights does not have).
    views: support views that are shown.
    temperature: divides the scores.
    """

    base: TapBank
    classifier: Literal["PrototypicalNetworks", "SimpleShot"]
    normalise: bool
    views: int
    temperature: float

    iterative: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """``<base>/easyfsl_protonet`` or ``<base>/easyfsl_simpleshot``."""
        return f"{self.base.name}/{_NAMES[self.classifier]}"

    def details(self) -> dict[str, Any]:
        """Return the base's digest and taps, the version of easyfsl, the constants, the code's."""
        return {
            "base_version": self.base.version,
            "base_taps": list(self.base.network.taps),
            "easyfsl": _import_easyfsl().__version__,
            "classifier": self.classifier,
            "normalise": self.normalise,
            "views": self.views,
            "temperature": self.temperature,
            "baseline_sources": source_digest(*BASELINE_SOURCES),
        }

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Show the classifier the support's features, then let it score the queries'."""
        rows_S = np.concatenate(episode.support_rows)
        views = [self.base.last(episode.pool, rows_S, view) for view in range(self.views)]
        query_QD = torch.from_numpy(self.base.last(episode.queries_from, episode.query_rows))
        begin = time.perf_counter()
        support_SD = torch.from_numpy(np.concatenate(views))
        classifier = self._fit(support_SD, np.tile(episode.support_labels, self.views))
        fitted = time.perf_counter()
        with torch.inference_mode():
            probs_QN = (classifier(query_QD) / self.temperature).softmax(dim=1).numpy()
        scored = time.perf_counter()
        return Prediction(
            probs_QN,
            seconds=fitted - begin + len(support_SD) * self.base.seconds_per_image,
            query_seconds=scored - fitted + len(query_QD) * self.base.seconds_per_image,
        )

    def _fit(self, support_SD: Tensor, labels_S: np.ndarray) -> Any:
        centre_D = support_SD.mean(dim=0) if self.normalise else None
        classifier = getattr(_import_easyfsl().methods, self.classifier)(
            feature_centering=centre_D, feature_normalization=2.0 if self.normalise else None
        )
        with torch.inference_mode():
            classifier.process_support_set(support_SD, torch.from_numpy(labels_S))
        return classifier


def easyfsl_baselines(base: TapBank) -> tuple[EasyFslMethod, ...]:
    """Return easyfsl's methods on a base; their constants were chosen on novel_val."""
    return (
        EasyFslMethod(base, "PrototypicalNetworks", normalise=False, views=VIEWS, temperature=8.0),
        EasyFslMethod(base, "SimpleShot", normalise=True, views=VIEWS, temperature=0.45),
    )


def _import_easyfsl() -> Any:
    import_timm()  # easyfsl imports torchvision, which this makes importable
    import easyfsl.methods  # noqa: PLC0415  (brings torchvision; only these methods need it)

    return easyfsl
