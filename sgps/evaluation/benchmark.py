"""The judge: every method on the same seeded episodes of one setting."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sgps.datasets.descriptions import DescriptionLibrary
from sgps.episodes import ClassPool, Episode, EpisodeSpec, sample_episodes
from sgps.errors import InputError, SgpsError
from sgps.evaluation.benchmark_data import (
    BenchmarkData,
    BenchmarkSettings,
    Progress,
    TooFewClassesError,
    load_benchmark_data,
    require_enough_groups,
)
from sgps.evaluation.episode_cache import (
    EpisodeCache,
    as_stored,
    method_digest,
    prediction_key,
)
from sgps.evaluation.episode_inputs import EpisodeMaker
from sgps.evaluation.methods import SGPS, EpisodeInputs, Method, Prediction
from sgps.evaluation.report import BenchmarkReport
from sgps.evaluation.scores import MethodTally
from sgps.evaluation.subgroups import Subgroups

_SUM_TOLERANCE = 1e-4
_FEWEST_EPISODES = 2
_LIBRARIES = ("sgps", "torch", "timm", "numpy", "scipy", "scikit-learn", "easyfsl", "pillow")


class MethodError(SgpsError):
    """A method under test failed, or answered something that cannot be scored."""


def run_benchmark(
    settings: BenchmarkSettings,
    methods: Sequence[Method],
    *,
    data: BenchmarkData | None = None,
    library: DescriptionLibrary | None = None,
    command: str = "",
    commit: str = "",
    cache: EpisodeCache | None = None,
    progress: Progress | None = None,
) -> BenchmarkReport:
    """Score each method on the same episodes of one role of a manifest.

    methods: those under test; the one named ``sgps`` is compared with each of the others. One with
        an attribute ``iterative = True`` runs on the first ``settings.iterative_episodes`` only.
    data: the images, where they are already loaded for these settings.
    library: the content of ``settings.descriptions``, where it is already read.
    command, commit: what was typed and the commit of the code, for the record.
    cache: where predictions are looked up and kept.
    progress: called with a stage, how much of it is done and how much there is.

    Raises
    ------
    ManifestError, ImageError: the manifest or an image cannot be read.
    TooFewClassesError: too few classes for n_way, or too few groups for k_shot + 1.
    InputError: no row has the role, or an iterative method is left with less than two episodes.
    MethodError: a method failed on an episode; method, setting and episode are named.
    """
    data = data or load_benchmark_data(settings, progress)
    require_enough_groups(data.frame, settings)
    episodes = draw_episodes(settings, data)
    texts = _descriptions(settings, data, library)
    maker = EpisodeMaker(settings, data, texts)
    subgroups = Subgroups.from_frame(data.frame)
    runs = [_MethodRun(method, settings, cache) for method in methods]
    tallies = {method.name: MethodTally(subgroups) for method in methods}
    for number, episode in enumerate(episodes, start=settings.first_episode):
        inputs, truth = maker.make(episode, number)
        inputs_digest = "" if cache is None else maker.digest(inputs)
        for run in runs:
            if number < run.until:
                prediction = run.predict(inputs, number, inputs_digest)
                tallies[run.method.name].add(prediction, truth, inputs.class_names)
        if progress is not None:
            progress("episodes", number + 1, settings.episodes)
    described = _describe(settings, data, episodes, texts, methods)
    return BenchmarkReport(
        {"command": command, "commit": commit, **described},
        {name: tally.scores() for name, tally in tallies.items()},
    )


def draw_episodes(settings: BenchmarkSettings, data: BenchmarkData) -> list[Episode]:
    """Return the episodes that are measured: a function of settings and data alone.

    Raises
    ------
    TooFewClassesError: classes share so many groups that support and query cannot be kept apart.
    """
    try:
        pool = ClassPool.from_frame(
            data.frame, domain=settings.dataset, min_groups=settings.needed_groups
        )
        spec = EpisodeSpec(n_way=settings.n_way, k_shot=settings.k_shot, n_query=settings.n_query)
        episodes = sample_episodes([pool], spec, count=settings.episodes, seed=settings.seed)
    except InputError as error:
        raise TooFewClassesError(
            error.what, expected=error.expected, remedy=error.remedy
        ) from error
    return episodes[settings.first_episode :]


class _MethodRun:
    """One method on the episodes of one setting."""

    def __init__(
        self, method: Method, settings: BenchmarkSettings, cache: EpisodeCache | None
    ) -> None:
        self.method = method
        self._settings = settings
        self._cache = cache
        self._iterative = bool(getattr(method, "iterative", False))
        self.until = settings.iterative_episodes if self._iterative else settings.episodes
        if settings.measured_of_first(self.until) < _FEWEST_EPISODES:
            raise InputError(
                f"first_episode is {settings.first_episode}, and {method.name} runs on the first "
                f"{self.until} episodes only",
                expected=f"at most {self.until - _FEWEST_EPISODES}",
                remedy="begin earlier, or leave the iterative baselines out",
            )
        self._digest = "" if cache is None else method_digest(method)
        self._warm = self._iterative

    def predict(self, inputs: EpisodeInputs, number: int, inputs_digest: str) -> Prediction:
        """Return the prediction for an episode, from the cache where it is there.

        The first call loads what a method needs, so it is made twice and timed the second time;
        but not of iterative methods, where loading takes no part of the time worth naming.
        """
        key = prediction_key(self._digest, inputs_digest)
        kept = None if self._cache is None else self._cache.get(key)
        if kept is not None:
            return kept
        if not self._warm:
            self._ask(inputs, number)
            self._warm = True
        prediction = as_stored(self._ask(inputs, number))
        if self._cache is not None:
            self._cache.put(key, prediction)
        return prediction

    def _ask(self, inputs: EpisodeInputs, number: int) -> Prediction:
        try:
            prediction = self.method.predict(inputs)
            _require_scorable(prediction, inputs)
        except Exception as error:
            settings = self._settings
            raise MethodError(
                f"method {self.method.name} failed on episode {number} of {settings.name} "
                f"({settings.n_way}-way {settings.k_shot}-shot, seed {settings.seed}): "
                f"{type(error).__name__}: {error}"
            ) from error
        return prediction


def _require_scorable(prediction: Prediction, inputs: EpisodeInputs) -> None:
    probs_QN, familiarity_Q = prediction.probs_QN, prediction.familiarity_Q
    queries = len(inputs.query_rows)
    if probs_QN.shape != (queries, inputs.n_way):
        raise ValueError(f"no probabilities of shape {(queries, inputs.n_way)}: {probs_QN.shape}")
    if not (probs_QN >= 0).all() or not (np.abs(probs_QN.sum(1) - 1) < _SUM_TOLERANCE).all():
        raise ValueError("rows that are no probabilities")
    if familiarity_Q is not None and (
        familiarity_Q.shape != (queries,) or not np.isfinite(familiarity_Q).all()
    ):
        raise ValueError(f"no finite familiarity of shape {(queries,)}")
    if not np.isfinite(prediction.seconds) or np.isinf(prediction.query_seconds):
        raise ValueError("no finite time")


def _descriptions(
    settings: BenchmarkSettings, data: BenchmarkData, library: DescriptionLibrary | None
) -> dict[str, str]:
    if settings.descriptions is None:
        return {}
    labels = sorted(data.frame["label"].unique())
    library = library or DescriptionLibrary.load(settings.descriptions)
    return dict(zip(labels, library.texts(settings.dataset, labels), strict=True))


def _describe(
    settings: BenchmarkSettings,
    data: BenchmarkData,
    episodes: Sequence[Episode],
    texts: Mapping[str, str],
    methods: Sequence[Method],
) -> dict[str, Any]:
    details = {method.name: method.details() for method in methods}
    own = details.get(SGPS, {})
    return {
        "name": settings.name,
        "manifest": str(settings.manifest),
        "dataset": settings.dataset,
        "role": settings.role,
        "n_way": settings.n_way,
        "k_shot": settings.k_shot,
        "n_query": settings.n_query,
        "first_episode": settings.first_episode,
        "episodes": settings.measured_of_first(settings.episodes),
        "iterative_episodes": settings.measured_of_first(settings.iterative_episodes),
        "corruption_episodes": settings.measured_of_first(settings.corruption_episodes),
        "seed": settings.seed,
        "resolution": settings.resolution,
        "notes": settings.notes,
        "min_groups": settings.needed_groups,
        "absent_role": settings.absent_role,
        "images": len(data.frame),
        "classes": {
            str(label): int(count) for label, count in data.frame["label"].value_counts().items()
        },
        "drawn_classes": sorted({label for episode in episodes for label in episode.classes}),
        "described_classes": sorted(label for label, text in texts.items() if text),
        "descriptions_digest": _json_digest(dict(texts)),
        "data_digest": data.digest,
        "metadata_digest": data.metadata_digest,
        "absent_digest": data.absent_digest,
        "episodes_digest": _json_digest(
            [[episode.classes, episode.support, episode.query] for episode in episodes]
        ),
        "generator": own.get("generator", ""),
        "generator_sha256": own.get("generator_sha256", ""),
        "methods": details,
        "interval": "95 %, Student's t over episodes; ece pooled over all queries, jackknife; "
        "subgroups pooled over queries, clustered by episode",
        "versions": library_versions(),
    }


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that have a part in the figures."""
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in _LIBRARIES},
    }


def _json_digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
