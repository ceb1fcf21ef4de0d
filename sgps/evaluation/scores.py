"""From the predictions of one method, episode by episode, to its scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sgps.evaluation import metrics
from sgps.evaluation.corruptions import CLEAN
from sgps.evaluation.intervals import Interval, join_bins, mean_interval, pooled_calibration_error
from sgps.evaluation.methods import Prediction
from sgps.evaluation.metrics import CalibrationBins, Floats, Ints
from sgps.evaluation.subgroups import Subgroups

SubgroupShares = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class QueryTruth:
    """What is true of an episode's queries; a prediction has them in the order of the fields.

    Attributes
    ----------
    labels_Q: class of each query of the task's classes.
    rows_Q: their rows in the pool.
    absent: how many images of a class outside the task follow.
    corruptions: the names under which altered copies of the Q queries follow, Q each.
    """

    labels_Q: Ints
    rows_Q: Ints
    absent: int = 0
    corruptions: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many images a method scores in all."""
        return len(self.labels_Q) * (1 + len(self.corruptions)) + self.absent


@dataclass(frozen=True)
class MethodScores:
    """One method on the first E measured episodes of a setting.

    Attributes
    ----------
    by_episode: metric -> one value an episode (E,); NaN where the metric has none in an episode.
    calibration: the episodes' predictions by confidence.
    confidence: highest probability of each query of all episodes.
    hits: 1 where that query's most probable class is the true one, else 0.
    subgroups: attribute -> group -> mean, low and high of the pooled accuracy; queries, and how
        many different images and people or lesions (groups) they are of.
    """

    by_episode: Mapping[str, Floats]
    calibration: Sequence[CalibrationBins]
    confidence: Floats
    hits: Floats
    subgroups: SubgroupShares = field(default_factory=dict)

    @property
    def episodes(self) -> int:
        """On how many episodes the method ran."""
        return len(self.calibration)

    def intervals(self) -> dict[str, Interval]:
        """Return each metric's mean over the episodes; `ece` is pooled over all queries."""
        known = {name: values[~np.isnan(values)] for name, values in self.by_episode.items()}
        figures = {name: mean_interval(values) for name, values in known.items() if len(values) > 1}
        return {**figures, "ece": pooled_calibration_error(self.calibration)}

    def pooled_bins(self) -> CalibrationBins:
        """Return the bins (15,) of all queries of all episodes."""
        joined = join_bins(self.calibration)
        return CalibrationBins(
            joined.counts.sum(0), joined.confidence_sums.sum(0), joined.hits.sum(0)
        )

    def risk_coverage(self) -> tuple[Floats, Floats]:
        """Return coverage (20,) and the accuracy (20,) on that share of the surest queries."""
        return metrics.risk_coverage(self.confidence, self.hits)


class MethodTally:
    """Collects one method's scores, episode by episode.

    Parameters
    ----------
    subgroups: of the rows of the pool; None where no accuracy by subgroup is wanted.
    """

    def __init__(self, subgroups: Subgroups | None = None) -> None:
        self._subgroups = subgroups
        self._values: list[dict[str, float]] = []
        self._calibration: list[CalibrationBins] = []
        self._confidence: list[Floats] = []
        self._hits: list[Floats] = []
        self._counts: list[dict[str, tuple[Floats, Floats]]] = []
        self._rows: list[Ints] = []

    def add(self, prediction: Prediction, truth: QueryTruth, class_names: Sequence[str]) -> None:
        """Score the next episode's prediction, which has a row for each query of the truth."""
        labels_Q = truth.labels_Q
        queries = len(labels_Q)
        probs_QN = prediction.probs_QN[:queries]
        hits_Q = (probs_QN.argmax(1) == labels_Q).astype(np.float64)
        self._values.append(
            {
                "accuracy": float(hits_Q.mean()),
                "auroc": metrics.auroc(probs_QN, labels_Q),
                "brier": metrics.brier(probs_QN, labels_Q),
                "seconds_per_synthesis": prediction.seconds,
                "seconds_per_query": prediction.query_seconds / len(prediction.probs_QN),
                "absent_auroc": _absent_auroc(prediction, queries, truth.absent),
                **_recalls(probs_QN, labels_Q, class_names),
                **_corrupted_accuracies(prediction, truth),
            }
        )
        self._calibration.append(metrics.calibration_bins(probs_QN, labels_Q))
        self._confidence.append(probs_QN.max(1))
        self._hits.append(hits_Q)
        if self._subgroups is not None:
            self._counts.append(self._subgroups.count(truth.rows_Q, hits_Q))
            self._rows.append(truth.rows_Q)

    def scores(self) -> MethodScores:
        """Return the scores of all episodes added."""
        columns: dict[str, list[float]] = defaultdict(lambda: [float("nan")] * len(self._values))
        for number, values in enumerate(self._values):
            for name, value in values.items():
                columns[name][number] = value
        return MethodScores(
            by_episode={name: np.array(values) for name, values in columns.items()},
            calibration=self._calibration,
            confidence=np.concatenate(self._confidence),
            hits=np.concatenate(self._hits),
            subgroups=self._subgroup_shares(),
        )

    def _subgroup_shares(self) -> SubgroupShares:
        if self._subgroups is None:
            return {}
        return self._subgroups.shares(self._counts, np.concatenate(self._rows))


def _recalls(probs_QN: Floats, labels_Q: Ints, class_names: Sequence[str]) -> dict[str, float]:
    recall_N = metrics.per_class_recall(probs_QN, labels_Q)
    recalls = {f"recall:{name}": recall_N[label] for label, name in enumerate(class_names)}
    return {"balanced_accuracy": float(recall_N[~np.isnan(recall_N)].mean()), **recalls}


def _absent_auroc(prediction: Prediction, queries: int, absent: int) -> float:
    if absent == 0:
        return float("nan")
    familiarity = prediction.familiarity_Q
    if familiarity is None:
        familiarity = prediction.probs_QN.max(1)
    return metrics.ranking_auroc(familiarity[:queries], familiarity[queries : queries + absent])


def _corrupted_accuracies(prediction: Prediction, truth: QueryTruth) -> dict[str, float]:
    if not truth.corruptions:
        return {}
    queries = len(truth.labels_Q)
    clean_QN = prediction.probs_QN[:queries]
    accuracies = {f"accuracy:{CLEAN}": metrics.accuracy(clean_QN, truth.labels_Q)}
    for place, name in enumerate(truth.corruptions):
        first = queries + truth.absent + place * queries
        probs_QN = prediction.probs_QN[first : first + queries]
        accuracies[f"accuracy:{name}"] = metrics.accuracy(probs_QN, truth.labels_Q)
    return accuracies
