"""The meta-training loop: one for CPU and GPU, resumable at any point.

Minimises the query cross-entropy of synthesized classifiers over episodes,
``min_theta E[L(T(x; H(c; theta)), y)]`` (arXiv 2511.14082). All randomness of episode n comes from
(seed, n), so a resumed run goes on bit for bit like one that was never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from sgps.datasets.descriptions import DescriptionLibrary
from sgps.datasets.storage import StoredDataset
from sgps.encoders.text import load_text_encoder
from sgps.synthesizer.checkpoint import save_generator
from sgps.synthesizer.generator import Generator
from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.synthesizer.synthesizer import choose_device
from sgps.training.averaging import average_of
from sgps.training.config import MetaTrainingConfig
from sgps.training.image_bank import ImageBank, data_digest, digest_run
from sgps.training.losses import EpisodeLoss
from sgps.training.optimisation import build_optimiser, learning_factor, take_step
from sgps.training.pace import Pace
from sgps.training.pools import build_pools, build_validation_pools
from sgps.training.priors import fit_head_priors
from sgps.training.state import load_state, save_state
from sgps.training.token_statistics import standardise_tokens
from sgps.training.validation import ValidationScores, validate, validation_episodes

MetricSink = Callable[[Mapping[str, float], int], None]
ProgressSink = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TrainingResult:
    """What a run left behind.

    Attributes
    ----------
    checkpoint: folder with ``generator.safetensors`` and ``generator.json``.
    best_accuracy: validation accuracy of the generator that was kept.
    best_episode: after how many episodes it was reached.
    episodes_done: episodes trained on, over all resumptions.
    generator_sha256: digest of the kept generator's tensors.
    seconds: time of this process in the loop.
    """

    checkpoint: Path
    best_accuracy: float
    best_episode: int
    episodes_done: int
    generator_sha256: str
    seconds: float


def meta_train(
    config: MetaTrainingConfig,
    datasets: Sequence[StoredDataset],
    descriptions: DescriptionLibrary | None,
    folder: Path,
    *,
    name: str = "candidate",
    metrics: MetricSink | None = None,
    progress: ProgressSink | None = None,
    stop_after: int | None = None,
) -> TrainingResult:
    """Meta-train a generator, or go on with the run that ``folder`` holds.

    Parameters
    ----------
    config: all settings.
    datasets: stored datasets; only images with a training or validation role are read.
    descriptions: class descriptions; None trains without text.
    folder: where states and the best generator are kept.
    name: what the generator is called.
    metrics: called with scalar metrics and the episode number; see :class:`Pace` too.
    progress: called with (episodes done, episodes in all, a short status).
    stop_after: end after this episode without finishing the run, as a kill would.

    Raises
    ------
    InputError: no dataset fits, or the folder holds a run with other settings or data.
    StoreError: the folder cannot be written.
    """
    run = MetaTrainingRun(config, datasets, descriptions, folder, name=name)
    return run.go_on(metrics=metrics, progress=progress, stop_after=stop_after)


class MetaTrainingRun:
    """One run: what it needs, where it stands and how it takes a step.

    Making one reads the data and the state that ``folder`` holds, and writes nothing.
    ``provenance`` are JSON-able facts for the generator's lineage, such as the licences.

    Raises
    ------
    InputError: no dataset fits, or the folder holds a run with other settings or data.
    """

    def __init__(
        self,
        config: MetaTrainingConfig,
        datasets: Sequence[StoredDataset],
        descriptions: DescriptionLibrary | None,
        folder: Path,
        *,
        name: str = "candidate",
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.config = config
        self.folder = folder
        self.name = name
        self.provenance = dict(provenance or {})
        self.device = choose_device(config.device)
        self.datasets = list(datasets)
        self.pools = build_pools(datasets, config.train_roles, config.max_shots + 1)
        validation_role, validation_pools = build_validation_pools(datasets, config)
        self.validation_role = validation_role
        self.validation_set = validation_episodes(
            validation_pools,
            max_shots=config.max_shots,
            count=config.validation_episodes,
            seed=config.seed + 1,
        )
        encoder = load_text_encoder(config.text_encoder, allow_downloads=config.allow_downloads)
        self.bank = ImageBank.read(
            datasets,
            roles=(*config.train_roles, validation_role),
            resolution=config.generator.resolution,
            descriptions=descriptions,
            text_encoder=encoder,
        ).to(self.device)
        torch.manual_seed(config.seed)
        self.hypernetwork = Hypernetwork.create(
            config.generator,
            pretrained=config.pretrained,
            allow_downloads=config.allow_downloads,
        )
        self.hypernetwork.to(self.device)
        self._loss_of = EpisodeLoss(config, self.hypernetwork, self.bank, self.pools)
        if config.generator.task_codes:
            standardise_tokens(
                self.hypernetwork,
                self.bank,
                self.pools,
                spec=self._loss_of.equal_spec,
                seed=config.seed + 2,
            )
        if config.compile:
            self.hypernetwork.compile_query_pass()
        self.optimiser = build_optimiser(self.hypernetwork, config)
        self.average = average_of(self.hypernetwork.generator, config.average_decay)
        self._state = torch.nn.ModuleDict(
            {"generator": self.hypernetwork.generator, "average": self.average}
        )
        self.run_digest = digest_run(config, datasets, descriptions)
        self.progress = load_state(folder, self._state, self.optimiser, run_digest=self.run_digest)
        self._losses: list[float] = []
        self._pace = Pace(self.device)

    @property
    def finished(self) -> bool:
        """Whether all episodes are done, or patience is at its end."""
        progress = self.progress
        return (
            progress.next_episode >= self.config.episodes
            or progress.stale_validations >= self.config.patience
        )

    def go_on(
        self,
        *,
        metrics: MetricSink | None = None,
        progress: ProgressSink | None = None,
        stop_after: int | None = None,
    ) -> TrainingResult:
        """Train to the end, or to episode ``stop_after``; see :func:`meta_train`."""
        started = time.perf_counter()
        while not self.finished and (stop_after is None or self.progress.next_episode < stop_after):
            self._advance(metrics, progress)
        return self._result(time.perf_counter() - started)

    def _advance(self, metrics: MetricSink | None, progress: ProgressSink | None) -> None:
        """One optimiser step, and what is due after it."""
        config = self.config
        first = self.progress.next_episode
        if first == 0:
            self._validate(0, metrics)
        last = min(first + config.episodes_per_step, config.episodes)
        loss = self._pace.timed(last - first, lambda: self._step(range(first, last)))
        self.progress.next_episode = last
        self._losses.append(loss)
        if progress:
            rate = f"{self._pace.episodes_per_second:.2g} episodes/s"
            status = f"loss {loss:.3f}, best {self.progress.best_score:.4f}, {rate}"
            progress(last, config.episodes, status)
        validation_due = last == config.episodes or _crosses(first, last, config.validate_every)
        if validation_due:
            self._validate(last, metrics)
        if validation_due or _crosses(first, last, config.checkpoint_every):
            save_state(
                self.folder,
                self._state,
                self.optimiser,
                self.progress,
                run_digest=self.run_digest,
            )

    def _result(self, seconds: float) -> TrainingResult:
        return TrainingResult(
            checkpoint=self.folder,
            best_accuracy=self.progress.best_score,
            best_episode=self.progress.best_episode,
            episodes_done=self.progress.next_episode,
            generator_sha256=self.progress.best_sha256,
            seconds=seconds,
        )

    def _step(self, numbers: range) -> float:
        config = self.config
        loss = take_step(
            self.optimiser,
            (self._loss_of(number) / len(numbers) for number in numbers),
            factor=learning_factor(numbers[0] // config.episodes_per_step, config),
            clip_norm=config.clip_norm,
        )
        self.average.update_parameters(self.hypernetwork.generator)
        return loss

    def _validate(self, episode: int, metrics: MetricSink | None) -> None:
        with self._averaged() as hypernetwork:
            self._validate_average(hypernetwork, episode, metrics)

    @contextmanager
    def _averaged(self) -> Iterator[Hypernetwork]:
        """The hypernetwork with the averaged generator, its head priors fitted."""
        trained = self.hypernetwork.generator
        self.hypernetwork.generator = cast(Generator, self.average.module)
        try:
            if not self.config.generator.task_codes:
                fit_head_priors(
                    self.hypernetwork,
                    self.bank,
                    self.pools,
                    images_a_class=self.config.prior_images,
                    seed=self.config.prior_seed,
                )
            yield self.hypernetwork
        finally:
            self.hypernetwork.generator = trained

    def _validate_average(
        self, hypernetwork: Hypernetwork, episode: int, metrics: MetricSink | None
    ) -> None:
        scores = validate(hypernetwork, self.bank, self.validation_set)
        train_loss = sum(self._losses) / len(self._losses) if self._losses else math.nan
        self._losses.clear()
        if self.progress.record_validation(episode, scores, train_loss):
            self.progress.best_sha256 = self._save_best(scores)
        if metrics:
            values = {"validation/accuracy": scores.accuracy, "validation/loss": scores.loss}
            values |= self._pace.take()
            if not math.isnan(train_loss):
                values["train/loss"] = train_loss
            metrics(values, episode)

    def _save_best(self, scores: ValidationScores) -> str:
        return save_generator(
            self.hypernetwork,
            self.folder,
            name=self.name,
            text_encoder=self.config.text_encoder,
            lineage=self._lineage(scores),
        )

    def _lineage(self, scores: ValidationScores) -> dict[str, Any]:
        return {
            **self.provenance,
            "config": self.config.record(),
            "data_sha256": data_digest(self.datasets),
            "datasets": {d.name: d.digest for d in self.datasets},
            "trained_on": [pool.domain for pool in self.pools],
            "validated_on": {"role": self.validation_role, "scores": dict(scores.by_dataset)},
            "validation_accuracy": scores.accuracy,
            "episodes": self.progress.best_episode,
        }


def _crosses(first: int, last: int, every: int) -> bool:
    """Whether a multiple of ``every`` lies in (first, last]."""
    return first // every != last // every
