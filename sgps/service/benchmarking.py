"""Episodes of a stored dataset on file, and generators scored on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sgps.datasets import StoredDataset
from sgps.episodes import ClassPool, Episode, EpisodeIndex, EpisodeSpec, sample_episodes
from sgps.errors import IntegrityError
from sgps.evaluation import (
    BenchmarkData,
    BenchmarkReport,
    BenchmarkSettings,
    Method,
    SynthesizerMethod,
    public_baselines,
    run_benchmark,
)
from sgps.evaluation.benchmark import draw_episodes
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer

INCUMBENT = "incumbent"


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
    baselines: bool = Field(default=True, description="Score the public baselines too.")
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
        methods.extend(public_baselines())
    benchmark = _benchmark_settings(
        index, dataset, request.resolution or candidate.resolution, request.descriptions
    )
    data = _benchmark_data(dataset, benchmark, index)
    report = run_benchmark(benchmark, methods, data=data, progress=progress)
    report.save(request.report)
    return report


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
