"""Benchmark suites, episodes of a stored dataset on file, and generators scored on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sgps.datasets import StoredDataset
from sgps.episodes import ClassPool, Episode, EpisodeIndex, EpisodeSpec, sample_episodes
from sgps.errors import IntegrityError
from sgps.evaluation import (
    BenchmarkData,
    BenchmarkReport,
    BenchmarkSettings,
    BenchmarkSuite,
    EpisodeCache,
    Method,
    SynthesizerMethod,
    run_benchmark,
    run_suite,
)
from sgps.evaluation.baselines import Which, build_baselines
from sgps.evaluation.bases import benchmark_bases
from sgps.evaluation.benchmark import draw_episodes
from sgps.evaluation.benchmark_data import Progress
from sgps.evaluation.sgps_method import own_methods
from sgps.evaluation.suite_run import suite_record
from sgps.service.provenance import git_changed, git_commit
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer

INCUMBENT = "incumbent"
SUITE_CACHE = "episodes.sqlite"


class EpisodeRequest(BaseModel):
    """Which episodes to draw from which images of a stored dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field(description="Name of the stored dataset.")
    index: Path = Field(description="File that the episodes are written to.")
    root: Path = Field(default=Path("data/shards"), description="Folder of the datasets.")
    role: str = Field(default="novel_test", description="Whose images are used.")
    n_way: int = Field(default=3, ge=2, le=20, description="Classes an episode.")
    k_shot: int = Field(default=1, ge=1, description="Support images a class.")
    n_query: int = Field(default=10, ge=1, description="Query images a class, at most.")
    episodes: int = Field(default=200, ge=2, description="How many episodes.")
    seed: int = Field(default=0, ge=0, description="Seed of the episodes.")


class EvaluationRequest(BaseModel):
    """Which generator to score on the episodes of which index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: Path = Field(description="Episode index of build_episodes.")
    report: Path = Field(description="JSON file of the report.")
    generator: str = Field(default="", description="Name or path; empty: SGPS_GENERATOR.")
    incumbent: str = Field(default="", description="A second generator to compare with.")
    root: Path = Field(default=Path("data/shards"), description="Folder of the datasets.")
    descriptions: Path | None = Field(default=None, description="Folder of class descriptions.")
    baselines: bool = Field(default=True, description="Score the fast baselines too.")
    resolution: int | None = Field(default=None, description="Image side; none: the generator's.")


class IncumbentMethod(SynthesizerMethod):
    """The generator in use, beside a candidate."""

    name = INCUMBENT


def build_index(request: EpisodeRequest) -> EpisodeIndex:
    """Draw the episodes and write them to ``request.index``.

    Raises
    ------
    UserError: the dataset is not there, has too few classes or groups, or the file cannot be
        written.
    """
    dataset = StoredDataset.open(request.root / request.dataset)
    pool = ClassPool.from_frame(
        dataset.frame, domain=dataset.name, roles=[request.role], min_groups=request.k_shot + 1
    )
    spec = EpisodeSpec(n_way=request.n_way, k_shot=request.k_shot, n_query=request.n_query)
    episodes = sample_episodes([pool], spec, count=request.episodes, seed=request.seed)
    index = EpisodeIndex(tuple(episodes), spec, request.seed, {dataset.name: dataset.digest})
    index.save(request.index)
    return index


def evaluate_generator(
    request: EvaluationRequest,
    settings: Settings,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> BenchmarkReport:
    """Score a generator, and what it is compared with, on the episodes of an index.

    Raises
    ------
    IntegrityError: the dataset is not the one that the episodes were drawn from.
    UserError: index, dataset, generator or report.
    """
    index = EpisodeIndex.load(request.index)
    dataset = StoredDataset.open(request.root / index.episodes[0].domain)
    index.check_datasets({dataset.name: dataset.digest})

    def load(generator: str) -> Synthesizer:
        return Synthesizer.load(
            generator, device=settings.device, allow_downloads=settings.allow_downloads
        )

    candidate = load(request.generator or settings.generator)
    methods: list[Method] = [SynthesizerMethod(candidate)]
    if request.incumbent:
        methods.append(IncumbentMethod(load(request.incumbent)))
    if request.baselines:
        methods.extend(build_baselines("fast", benchmark_bases(candidate)))
    benchmark = _benchmark_settings(
        index, dataset, request.resolution or candidate.resolution, request.descriptions
    )
    data = _benchmark_data(dataset, benchmark, index)
    commit = git_commit() or ""
    report = run_benchmark(benchmark, methods, data=data, commit=commit, progress=progress)
    report.save(request.report)
    return report


@dataclass(frozen=True)
class SuiteRequest:
    """What to run of a suite.

    Attributes
    ----------
    suite: the suite, cut down to what is wanted.
    data: folder that its paths start from.
    out: folder of the report; None for none.
    cache: file of predictions; by default one in `out`.
    baselines: which of them are run beside the synthesizer.
    corruptions: whether accuracy on corrupted queries is measured.
    parts: whether SGPS is also measured without each of its parts.
    first_episode: of every setting, from 0; those before it are left out.
    descriptions: folder of class descriptions.
    command: what was typed.
    readme: Markdown file whose marked table the suite's replaces; None for none.
    """

    suite: BenchmarkSuite
    data: Path
    out: Path | None = None
    cache: Path | None = None
    baselines: Which = "fast"
    corruptions: bool = False
    parts: bool = True
    first_episode: int = 0
    descriptions: Path | None = None
    command: str = ""
    readme: Path | None = None


def benchmark_methods(
    synthesizer: Synthesizer, baselines: Which, *, parts: bool = False
) -> list[Method]:
    """Return the synthesizer and the baselines, each of those on the public and the own base.

    parts: also the synthesizer without one part at a time.

    Raises
    ------
    InputError: `baselines` is not none, fast or all.
    """
    bases = benchmark_bases(synthesizer)
    return [
        *own_methods(synthesizer, bases, parts=parts),
        *build_baselines(baselines, bases if baselines != "none" else ()),
    ]


def open_cache(path: Path | None) -> AbstractContextManager[EpisodeCache | None]:
    """Open a cache of predictions; None where there is no path.

    Raises
    ------
    IntegrityError: the file is damaged or foreign. StoreError: it cannot be opened.
    """
    return contextlib.nullcontext() if path is None else EpisodeCache(path)


def benchmark_suite(
    request: SuiteRequest,
    synthesizer: Synthesizer,
    *,
    stages: Callable[[], AbstractContextManager[Progress]],
    announce: Callable[[str], None],
) -> dict[str, Any]:
    """Run a suite and write its report as JSON and HTML.

    stages: see `run_suite`. announce: called with the table of each setting, once it is measured.

    Raises
    ------
    UserError: suite, data, cache or report. MethodError: a method failed on an episode.
    """
    plan = request.suite.plan(
        request.data,
        descriptions=request.descriptions,
        corruptions=request.corruptions,
        first_episode=request.first_episode,
    )
    started = datetime.now(UTC)
    commit = git_commit() or ""
    cache_path = request.cache or (request.out and request.out / SUITE_CACHE)
    outcomes = []
    with open_cache(cache_path) as cache:
        methods = benchmark_methods(synthesizer, request.baselines, parts=request.parts)
        for outcome in run_suite(
            plan, methods, command=request.command, commit=commit, cache=cache, stages=stages
        ):
            outcomes.append(outcome)
            announce(outcome.to_text())
    record = {
        "command": request.command,
        "commit": commit,
        "checkout_changed": git_changed(),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "baselines": request.baselines,
        "corruptions": request.corruptions,
        "parts": request.parts,
        "predictions_from_cache": cache.found if cache else 0,
    }
    suite = suite_record(request.suite, outcomes, data=request.data, record=record)
    if request.out is not None:
        from sgps.evaluation.episode_table import episode_table  # noqa: PLC0415 heavy
        from sgps.evaluation.suite_report import write_suite_report  # noqa: PLC0415 heavy

        measured = [outcome for outcome in outcomes if isinstance(outcome, BenchmarkReport)]
        write_suite_report(suite, request.out, episodes=episode_table(measured))
    if request.readme is not None:
        from sgps.evaluation.readme_table import write_readme_table  # noqa: PLC0415 heavy

        write_readme_table(suite, request.readme)
    return suite


def _benchmark_settings(
    index: EpisodeIndex, dataset: StoredDataset, resolution: int, descriptions: Path | None
) -> BenchmarkSettings:
    first_row = index.episodes[0].support[0][0]
    return BenchmarkSettings(
        manifest=dataset.folder / "dataset.json",
        role=str(dataset.frame["role"].iloc[first_row]),
        n_way=_single(index.spec.n_way),
        k_shot=_single(index.spec.k_shot),
        n_query=index.spec.n_query,
        episodes=len(index.episodes),
        seed=index.seed,
        resolution=resolution,
        dataset=dataset.name,
        descriptions=descriptions,
    )


def _benchmark_data(
    dataset: StoredDataset, settings: BenchmarkSettings, index: EpisodeIndex
) -> BenchmarkData:
    rows = np.flatnonzero(dataset.frame["role"] == settings.role)
    frame = dataset.frame.iloc[rows].reset_index(drop=True)
    images = dataset.images(settings.resolution, [int(row) for row in rows])
    data = BenchmarkData(frame, images, dataset.digest)
    drawn = [_renumbered(episode, rows) for episode in draw_episodes(settings, data)]
    if tuple(drawn) != index.episodes:
        raise IntegrityError(
            "the episode index was drawn by another version of the sampler",
            expected="the same episodes from the same seed",
            remedy="build the episodes again",
        )
    return data


def _renumbered(episode: Episode, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Episode:
    def renumber(groups: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(int(rows[row]) for row in group) for group in groups)

    return replace(episode, support=renumber(episode.support), query=renumber(episode.query))


def _single(value: int | tuple[int, int]) -> int:
    if isinstance(value, int):
        return value
    raise IntegrityError(
        f"the episode index has a range {value} of ways or shots",
        expected="one number, for a benchmark",
        remedy="build the episodes again",
    )
