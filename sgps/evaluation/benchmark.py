"""The judge: every method on the same seeded episodes."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sgps.datasets.descriptions import DescriptionLibrary
from sgps.episodes import ClassPool, Episode, EpisodeSpec, sample_episodes
from sgps.evaluation import metrics
from sgps.evaluation.benchmark_data import (
    BenchmarkData,
    BenchmarkSettings,
    Progress,
    load_benchmark_data,
    require_enough_groups,
)
from sgps.evaluation.methods import SGPS, EpisodeInputs, Method, Prediction
from sgps.evaluation.metrics import CalibrationBins, Ints
from sgps.evaluation.report import BenchmarkReport, MethodScores

_LIBRARIES = ("sgps", "torch", "timm", "numpy", "scipy", "pillow")


def run_benchmark(
    settings: BenchmarkSettings,
    methods: Sequence[Method],
    *,
    data: BenchmarkData | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> BenchmarkReport:
    """Score each method on the same episodes of one role of a manifest.

    methods: those under test; the one named ``sgps`` is compared with each of the others.
    data: the images, where they are already loaded for these settings.
    command: what was typed, for the record.
    progress: called with a stage, how much of it is done and how much there is.

    Raises
    ------
    ManifestError, ImageError: the manifest or an image cannot be read.
    InputError: no row has the role; too few classes for n_way, or too few groups for k_shot + 1.
    """
    data = data or load_benchmark_data(settings, progress)
    require_enough_groups(data.frame, settings)
    episodes = draw_episodes(settings, data)
    texts = _descriptions(settings, data)
    scores = {method.name: _Tally() for method in methods}
    for method in methods:  # the first call of a method loads what it needs: not to be timed
        method.predict(episode_inputs(episodes[0], data, texts)[0])
    for number, episode in enumerate(episodes):
        inputs, labels_Q = episode_inputs(episode, data, texts)
        for method in methods:
            prediction = method.predict(inputs)
            _require_probabilities(method, prediction, inputs)
            scores[method.name].add(prediction, labels_Q, inputs.class_names)
        if progress is not None:
            progress("episodes", number + 1, len(episodes))
    described = _describe(settings, data, episodes, texts, methods, command)
    return BenchmarkReport(described, {name: tally.scores() for name, tally in scores.items()})


def draw_episodes(settings: BenchmarkSettings, data: BenchmarkData) -> list[Episode]:
    """Return the episodes of a benchmark: a function of settings and data alone."""
    pool = ClassPool.from_frame(data.frame, domain=settings.dataset, min_groups=settings.k_shot + 1)
    spec = EpisodeSpec(n_way=settings.n_way, k_shot=settings.k_shot, n_query=settings.n_query)
    return sample_episodes([pool], spec, count=settings.episodes, seed=settings.seed)


def episode_inputs(
    episode: Episode, data: BenchmarkData, texts: Mapping[str, str]
) -> tuple[EpisodeInputs, Ints]:
    """Return what a method is given of an episode, and the queries' true classes (Q,)."""
    inputs = EpisodeInputs(
        class_names=episode.classes,
        descriptions=tuple(texts.get(label, "") for label in episode.classes),
        pool=data.images,
        support_rows=tuple(np.asarray(rows, dtype=np.int64) for rows in episode.support),
        query_rows=np.concatenate([np.asarray(rows, dtype=np.int64) for rows in episode.query]),
    )
    labels_Q = np.repeat(np.arange(len(episode.classes)), [len(rows) for rows in episode.query])
    return inputs, labels_Q


class _Tally:
    """Collects one method's scores, episode by episode."""

    def __init__(self) -> None:
        self._values: list[dict[str, float]] = []
        self._calibration: list[CalibrationBins] = []

    def add(self, prediction: Prediction, labels_Q: Ints, class_names: Sequence[str]) -> None:
        probs_QN = prediction.probs_QN
        recall_N = metrics.per_class_recall(probs_QN, labels_Q)
        self._values.append(
            {
                "accuracy": metrics.accuracy(probs_QN, labels_Q),
                "balanced_accuracy": metrics.balanced_accuracy(probs_QN, labels_Q),
                "auroc": metrics.auroc(probs_QN, labels_Q),
                "brier": metrics.brier(probs_QN, labels_Q),
                "seconds_per_synthesis": prediction.seconds,
                **{f"recall:{name}": recall_N[label] for label, name in enumerate(class_names)},
            }
        )
        self._calibration.append(metrics.calibration_bins(probs_QN, labels_Q))

    def scores(self) -> MethodScores:
        columns: dict[str, list[float]] = defaultdict(lambda: [float("nan")] * len(self._values))
        for number, values in enumerate(self._values):
            for name, value in values.items():
                columns[name][number] = value
        return MethodScores(
            {name: np.array(values) for name, values in columns.items()}, self._calibration
        )


def _descriptions(settings: BenchmarkSettings, data: BenchmarkData) -> dict[str, str]:
    if settings.descriptions is None:
        return {}
    labels = sorted(data.frame["label"].unique())
    library = DescriptionLibrary.load(settings.descriptions)
    return dict(zip(labels, library.texts(settings.dataset, labels), strict=True))


def _require_probabilities(method: Method, prediction: Prediction, inputs: EpisodeInputs) -> None:
    probs_QN = prediction.probs_QN
    expected = (len(inputs.query_rows), inputs.n_way)
    if probs_QN.shape != expected or not np.allclose(probs_QN.sum(1), 1, atol=1e-4):
        raise ValueError(f"method {method.name} gave no probabilities of shape {expected}")


def _describe(
    settings: BenchmarkSettings,
    data: BenchmarkData,
    episodes: Sequence[Episode],
    texts: Mapping[str, str],
    methods: Sequence[Method],
    command: str,
) -> dict[str, Any]:
    details = {method.name: method.details() for method in methods}
    own = details.get(SGPS, {})
    return {
        "command": command,
        "manifest": str(settings.manifest),
        "dataset": settings.dataset,
        "role": settings.role,
        "n_way": settings.n_way,
        "k_shot": settings.k_shot,
        "n_query": settings.n_query,
        "episodes": settings.episodes,
        "seed": settings.seed,
        "resolution": settings.resolution,
        "images": len(data.frame),
        "classes": {
            str(label): int(count) for label, count in data.frame["label"].value_counts().items()
        },
        "described_classes": sorted(label for label, text in texts.items() if text),
        "descriptions_digest": _json_digest(dict(texts)),
        "data_digest": data.digest,
        "episodes_digest": _json_digest(
            [[episode.classes, episode.support, episode.query] for episode in episodes]
        ),
        "generator": own.get("generator", ""),
        "generator_sha256": own.get("generator_sha256", ""),
        "methods": details,
        "interval": "95 %, Student's t over episodes; ece pooled over all queries, jackknife",
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in _LIBRARIES},
        },
    }


def _json_digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
