"""A suite run setting by setting, and what comes out of it as one record."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sgps.datasets.descriptions import DescriptionLibrary
from sgps.errors import ManifestError
from sgps.evaluation.benchmark import library_versions, run_benchmark
from sgps.evaluation.benchmark_data import (
    BenchmarkData,
    BenchmarkSettings,
    Progress,
    TooFewClassesError,
    load_benchmark_data,
)
from sgps.evaluation.episode_cache import EpisodeCache
from sgps.evaluation.methods import Method
from sgps.evaluation.report import BenchmarkReport
from sgps.evaluation.suite import BenchmarkSuite


@dataclass(frozen=True)
class SkippedSetting:
    """A setting that the data cannot fill, and why."""

    name: str
    n_way: int
    k_shot: int
    reason: str

    def to_text(self) -> str:
        """Return one line for people."""
        return f"{self.name}: {self.n_way}-way {self.k_shot}-shot skipped: {self.reason}"


def _tell_nobody(_stage: str, _done: int, _total: int) -> None:
    pass


def _no_stages() -> AbstractContextManager[Progress]:
    return contextlib.nullcontext(_tell_nobody)


def run_suite(
    plan: Sequence[BenchmarkSettings],
    methods: Sequence[Method],
    *,
    command: str = "",
    commit: str = "",
    cache: EpisodeCache | None = None,
    stages: Callable[[], AbstractContextManager[Progress]] = _no_stages,
) -> Iterator[BenchmarkReport | SkippedSetting]:
    """Measure one setting after the other; images are decoded once for all settings on them.

    stages: gives a context whose value is told how far a setting is; entered for each setting, and
    left before its outcome is yielded. The other parameters are those of `run_benchmark`.

    Raises
    ------
    UserError, MethodError: as `run_benchmark`, but too few classes or groups skip a setting.
    """
    _require_manifests(plan)
    libraries: dict[Path | None, DescriptionLibrary] = {
        folder: DescriptionLibrary.load(folder)
        for folder in {settings.descriptions for settings in plan}
        if folder is not None
    }
    loaded: dict[tuple[Any, ...], BenchmarkData] = {}
    for number, settings in enumerate(plan):
        key = _data_key(settings)
        outcome: BenchmarkReport | SkippedSetting
        with stages() as tell:
            progress = _of_setting(settings, tell)
            try:
                if key not in loaded:
                    loaded[key] = load_benchmark_data(settings, progress)
                outcome = run_benchmark(
                    settings,
                    methods,
                    data=loaded[key],
                    library=libraries.get(settings.descriptions),
                    command=command,
                    commit=commit,
                    cache=cache,
                    progress=progress,
                )
            except TooFewClassesError as error:
                outcome = SkippedSetting(settings.name, settings.n_way, settings.k_shot, str(error))
        yield outcome
        if key not in map(_data_key, plan[number + 1 :]):
            loaded.pop(key, None)


def suite_record(
    suite: BenchmarkSuite,
    outcomes: Sequence[BenchmarkReport | SkippedSetting],
    *,
    data: Path,
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the whole benchmark, ready for JSON.

    data: the folder of the manifests, which are named from there on. record: what is known of the
    run (command, commit, times ...).
    """
    reports = [outcome for outcome in outcomes if isinstance(outcome, BenchmarkReport)]
    skipped = [outcome for outcome in outcomes if isinstance(outcome, SkippedSetting)]
    return {
        "suite": {
            "name": suite.name,
            "suite_digest": suite.digest,
            "seed": suite.seed,
            "resolution": suite.resolution,
            "versions": library_versions(),
            "platform": platform.platform(),
            **record,
        },
        "settings": [_within(report, data).to_dict() for report in reports],
        "skipped": [
            {
                "name": setting.name,
                "n_way": setting.n_way,
                "k_shot": setting.k_shot,
                "reason": setting.reason,
            }
            for setting in skipped
        ],
    }


def _require_manifests(plan: Sequence[BenchmarkSettings]) -> None:
    for settings in plan:
        for manifest in (settings.manifest, settings.absent_manifest):
            if manifest is not None and not manifest.is_file():
                raise ManifestError(
                    f"{settings.name}: no file {manifest}",
                    expected="the manifest that the suite names",
                    remedy="correct the data folder, or choose other settings",
                )


def _data_key(settings: BenchmarkSettings) -> tuple[Any, ...]:
    absent = (settings.absent_role, settings.absent_manifest)
    return (settings.manifest, settings.role, settings.resolution, *absent)


def _of_setting(settings: BenchmarkSettings, tell: Progress) -> Progress:
    name = f"{settings.name}, {settings.n_way}-way {settings.k_shot}-shot"

    def progress(stage: str, done: int, total: int) -> None:
        tell(f"{name}: {stage}", done, total)

    return progress


def _within(report: BenchmarkReport, data: Path) -> BenchmarkReport:
    manifest = Path(report.settings["manifest"]).relative_to(data).as_posix()
    return replace(report, settings={**report.settings, "manifest": manifest})
