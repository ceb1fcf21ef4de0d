"""What the baselines on a frozen body share: support features in, tempered probabilities out.

Shapes: S support images, R = S x views rows of support features, Q query images, N classes,
D features over the taps that a baseline reads.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.special import softmax

from sgps.evaluation.baselines.space import Standardisation, Support, TapChoice, Taps
from sgps.evaluation.baselines.text import ZeroShot, text_bank, text_details, text_map_of
from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import EpisodeInputs, Prediction
from sgps.evaluation.metrics import Floats
from sgps.evaluation.sources import BASELINE_SOURCES, source_digest
from sgps.evaluation.text_bank import any_described

Classifier = Callable[[Taps], Floats]
"""From query taps, (Q, D_t) each, to logits (Q, N) before the temperature."""

FEW_SHOTS, MANY_SHOTS = 1, 5


@dataclass(frozen=True)
class Scores:
    """What a baseline knows of the queries before constants are applied.

    Attributes
    ----------
    logits_QN: before the temperature.
    zero_shot_QN: similarity to the class texts; zeros where the baseline reads no text.
    shots: mean number of support images a class.
    seconds: from the support images to a classifier, with the encoding of the images.
    query_seconds: from the query images to the scores, likewise.
    """

    logits_QN: Floats
    zero_shot_QN: Floats
    shots: float
    seconds: float
    query_seconds: float


@dataclass(frozen=True)
class _Texts:
    vectors_NF: Floats
    map_FD: Floats
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FrozenBaseline(abc.ABC):
    """A classifier on frozen tap features, fitted to one support set in closed form.

    Every constant was chosen on the datasets of role novel_val, for both bases together
    (`docs/choose_baselines.py`).

    Attributes
    ----------
    base: the body.
    taps: whether it reads the last features alone or all taps.
    centring: how the support's mean is taken off; see `Standardisation.of`.
    unit_rows: whether rows of features are divided by their norm.
    views: how many support views (1 to 4) are rows of the support.
    temperatures: divide the logits, at 1 shot and at 5; between them by the logarithm of the shots.
    text_weight: of the similarity to the class texts, added to the tempered logits; 0 reads none.
    familiarity: what tells images of absent classes, the highest probability or highest logit.
    """

    base: TapBank
    taps: TapChoice = "all"
    centring: float | None = 10.0
    unit_rows: bool = True
    views: int = 2
    temperatures: tuple[float, float] = (1.0, 1.0)
    text_weight: float = 0.0
    familiarity: Literal["probability", "logit"] = "logit"

    label: ClassVar[str]

    @abc.abstractmethod
    def fit(self, support: Support) -> Classifier:
        """Return the classifier of a support set."""

    def standardise(self, support: Support) -> Standardisation:
        """Return the map from taps to the rows that the baseline is fitted to."""
        return Standardisation.of(
            support, self.taps, centring=self.centring, unit_rows=self.unit_rows
        )

    @property
    def name(self) -> str:
        """``<base>/<baseline>``."""
        return f"{self.base.name}/{self.label}"

    def details(self) -> dict[str, Any]:
        """Return the base with digest and taps, constants, how text enters, the code's digest."""
        constants = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name != "base"
        }
        constants["temperatures"] = list(self.temperatures)
        text = text_details(self.base.network.body) if self.text_weight else {}
        return {
            "base": self.base.name,
            "base_version": self.base.version,
            "base_taps": list(self.base.network.taps),
            **constants,
            **text,
            "baseline_sources": source_digest(*BASELINE_SOURCES),
        }

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Fit to the support and score the queries.

        The features come from a bank, so the times count the bank's mean time of encoding one image
        for each support image and view, and for each query.
        """
        scores = self.score(episode)
        start = time.perf_counter()
        logits_QN = self.temper(scores)
        probs_QN = softmax(logits_QN, axis=1)
        familiarity_Q = (scores.logits_QN if self.familiarity == "logit" else probs_QN).max(1)
        query_seconds = scores.query_seconds + time.perf_counter() - start
        return Prediction(probs_QN, scores.seconds, query_seconds, familiarity_Q)

    def temper(self, scores: Scores) -> Floats:
        """Return the logits (Q, N) whose softmax are the probabilities."""
        shots = np.clip(scores.shots, FEW_SHOTS, MANY_SHOTS)
        share = np.log(shots / FEW_SHOTS) / np.log(MANY_SHOTS / FEW_SHOTS)
        few, many = self.temperatures
        temperature = few ** (1 - share) * many**share
        return np.asarray(scores.logits_QN / temperature + self.text_weight * scores.zero_shot_QN)

    def score(self, episode: EpisodeInputs) -> Scores:
        """Fit to the support and score the queries, before any temperature."""
        support = self._support(episode)
        query_taps = self.base.taps(episode.queries_from, episode.query_rows)
        texts = self._texts(episode)
        start = time.perf_counter()
        classifier = self.fit(support)
        zero_shot = ZeroShot.of(texts.vectors_NF, texts.map_FD, support) if texts else None
        fitted = time.perf_counter()
        logits_QN = classifier(query_taps)
        zero_shot_QN = zero_shot.similarity(query_taps) if zero_shot else np.zeros_like(logits_QN)
        scored = time.perf_counter()
        encoding = self.base.seconds_per_image
        seconds = fitted - start + len(support.class_R) * encoding
        return Scores(
            logits_QN,
            zero_shot_QN,
            shots=support.images / support.n_way,
            seconds=seconds + (texts.seconds if texts else 0.0),
            query_seconds=scored - fitted + len(episode.query_rows) * encoding,
        )

    def _support(self, episode: EpisodeInputs) -> Support:
        rows_S = np.concatenate(episode.support_rows)
        by_view = [self.base.taps(episode.pool, rows_S, view) for view in range(self.views)]
        return Support(
            tuple(np.concatenate(tap_views) for tap_views in zip(*by_view, strict=True)),
            np.tile(episode.support_labels, self.views),
            episode.n_way,
            self.views,
        )

    def _texts(self, episode: EpisodeInputs) -> _Texts | None:
        """The embedded descriptions; None where they are not read or have no map to weights."""
        if not self.text_weight or not any_described(episode.descriptions):
            return None
        map_FD = text_map_of(self.base.network.body)
        if map_FD is None:
            return None
        bank = text_bank()
        vectors_NF = bank.vectors(episode.descriptions)
        return _Texts(vectors_NF, map_FD, episode.n_way * bank.seconds_per_text)
