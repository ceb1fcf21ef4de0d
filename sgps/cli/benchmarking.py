"""``sgps benchmark``: SGPS and its baselines on the same episodes of a manifest or of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgps.cli.output import COMMAND_LINE, require_writable_file, say, stages, write_result
from sgps.cli.registration import (
    DescriptionsOption,
    DeviceOption,
    TextsFlag,
    find_descriptions,
    register,
)
from sgps.errors import InputError

if TYPE_CHECKING:
    from sgps.evaluation import BenchmarkSettings
    from sgps.service.benchmarking import SuiteRequest
    from sgps.synthesizer import Synthesizer

Baselines = Literal["fast", "all", "none"]

PLOT_SUFFIXES = (".png", ".svg")

_EPISODES = 200
_CORRUPTION_EPISODES = 100

_OF_A_MANIFEST = (
    "role", "n_way", "k_shot", "n_query", "seed", "dataset", "json", "plot",
)  # fmt: skip
_OF_A_SUITE = ("data", "settings", "shots", "out", "readme", "parts")


def add_commands(app: typer.Typer) -> None:
    """Add ``benchmark``."""
    register(
        app,
        "benchmark",
        benchmark,
        example="sgps benchmark --suite data/benchmark.yaml --data ../data --out reports/full\n"
        "sgps benchmark --suite data/benchmark.yaml --data ../data --settings ISIC-FS --shots 1,5\n"
        "sgps benchmark --manifest data/ham10000/manifest.csv --role novel_test "
        "--n-way 3 --k-shot 5 --json reports/ham10000.json\n"
        "sgps benchmark --speed --json reports/speed.json",
    )


def benchmark(
    context: typer.Context,
    manifest: Annotated[
        Path | None, typer.Option(help="One manifest: CSV or Parquet: file, label, group, role.")
    ] = None,
    suite: Annotated[Path | None, typer.Option(help="Many settings: a suite in YAML.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder that the suite's manifests are in.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option(help="Only these settings of the suite, with commas.")
    ] = None,
    shots: Annotated[
        list[str] | None, typer.Option(help="These shots instead of the suite's, with commas.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the suite's benchmark.json, benchmark.html, episodes.csv."),
    ] = None,
    role: Annotated[str, typer.Option(help="Whose rows of the manifest are used.")] = "novel_test",
    n_way: Annotated[int, typer.Option(help="Classes an episode.")] = 5,
    k_shot: Annotated[int, typer.Option(help="Support images a class.")] = 1,
    n_query: Annotated[int, typer.Option(help="Query images a class, at most.")] = 10,
    episodes: Annotated[
        int | None,
        typer.Option(help="How many episodes (default 200); of a suite's settings at most."),
    ] = None,
    first_episode: Annotated[
        int,
        typer.Option(help="Leave out those before this one, from 0: to divide a long run."),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the episodes.")] = 0,
    baselines: Annotated[
        Baselines,
        typer.Option(help="fast: those without iterative training; all takes hours."),
    ] = "fast",
    parts: Annotated[
        bool, typer.Option(help="SGPS without each of its parts too; takes most of the time.")
    ] = True,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="Score blurred, noisy ... copies of queries too.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="File of predictions, to resume from; default with --out: episodes.sqlite there."
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            min=32, help="Side of the images in pixels; default: the suite's or generator's."
        ),
    ] = None,
    generator: Annotated[
        str | None, typer.Option(help="Generator: name or path; default: SGPS_GENERATOR.")
    ] = None,
    descriptions: DescriptionsOption = None,
    texts: TextsFlag = True,
    dataset: Annotated[
        str, typer.Option(help="Name for the descriptions; default: the manifest's folder.")
    ] = "",
    readme: Annotated[
        Path | None,
        typer.Option(help="Markdown file whose marked table is replaced by the suite's."),
    ] = None,
    device: DeviceOption = None,
    speed: Annotated[
        bool, typer.Option("--speed", help="Instead: times, memory and sizes, beside their bars.")
    ] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the report here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw accuracies here, .png or .svg.")] = None,
) -> None:
    """Score SGPS and baselines on a manifest, or on the many settings of a suite.

    All methods see the same seeded episodes; intervals are at 95 %, and the difference to each
    baseline is paired. A suite that was broken off goes on where it stopped.
    ``--speed`` measures a synthesis and its classifier on random images instead.
    """
    if speed:
        if manifest is not None or suite is not None:
            raise InputError("--speed with --manifest or --suite", expected="one of the three")
        if json is not None:
            require_writable_file(json)
        _run_speed(_load_generator(generator, device), seed=seed, resolution=resolution, json=json)
        return
    if (manifest is None) == (suite is None):
        raise InputError(
            "neither --manifest nor --suite" if suite is None else "both --manifest and --suite",
            expected="one of the two",
            remedy="see 'sgps benchmark --help'",
        )
    _refuse_options(context, _OF_A_SUITE if suite is None else _OF_A_MANIFEST)
    for output in (json, plot, cache, out and out / "benchmark.json"):
        if output is not None:
            require_writable_file(output)
    if plot is not None and plot.suffix not in PLOT_SUFFIXES:
        raise InputError(
            f"--plot {plot}", expected="a name that ends in .png or .svg", remedy="rename it"
        )
    from sgps.evaluation import BenchmarkSettings, BenchmarkSuite
    from sgps.service.benchmarking import SuiteRequest

    folder = find_descriptions(descriptions, texts)
    if suite is not None:
        if data is None:
            raise InputError("--suite without --data", expected="the folder of its manifests")
        names, counts = _parts(settings), _numbers(shots)
        chosen = BenchmarkSuite.load(suite).select(names, counts, episodes, resolution)
        request = SuiteRequest(
            suite=chosen,
            data=data,
            out=out,
            cache=cache,
            baselines=baselines,
            corruptions=corruptions,
            parts=parts,
            first_episode=first_episode,
            descriptions=folder,
            command=COMMAND_LINE.get(),
            readme=readme,
        )
        chosen.plan(data, first_episode=first_episode)
        _run_suite(request, _load_generator(generator, device))
    elif manifest is not None:
        synthesizer = _load_generator(generator, device)
        single = BenchmarkSettings(
            manifest=manifest,
            role=role,
            n_way=n_way,
            k_shot=k_shot,
            n_query=n_query,
            episodes=_EPISODES if episodes is None else episodes,
            first_episode=first_episode,
            seed=seed,
            resolution=resolution or synthesizer.resolution,
            dataset=dataset,
            descriptions=folder,
            corruption_episodes=_CORRUPTION_EPISODES if corruptions else 0,
        )
        _run_manifest(single, synthesizer, baselines, cache=cache, json=json, plot=plot)


def _run_suite(request: SuiteRequest, synthesizer: Synthesizer) -> None:
    from sgps.service.benchmarking import benchmark_suite

    benchmark_suite(request, synthesizer, stages=stages, announce=write_result)
    if request.out is not None:
        say(f"report: {request.out / 'benchmark.json'}, benchmark.html and episodes.csv beside it")


def _run_manifest(
    settings: BenchmarkSettings,
    synthesizer: Synthesizer,
    baselines: Baselines,
    *,
    cache: Path | None,
    json: Path | None,
    plot: Path | None,
) -> None:
    from sgps.evaluation import load_benchmark_data, run_benchmark
    from sgps.evaluation.plots import plot_accuracy
    from sgps.service.benchmarking import benchmark_methods, open_cache
    from sgps.service.provenance import git_commit

    with open_cache(cache) as predictions, stages() as progress:
        data = load_benchmark_data(settings, progress)
        report = run_benchmark(
            settings,
            benchmark_methods(synthesizer, baselines),
            data=data,
            command=COMMAND_LINE.get(),
            commit=git_commit() or "",
            cache=predictions,
            progress=progress,
        )
    if settings.descriptions is not None and not report.settings["described_classes"]:
        say(f"warning: {settings.descriptions} describes no class of this dataset: no texts used")
    write_result(report.to_text())
    if json is not None:
        report.save(json)
        say(f"report: {json}")
    if plot is not None:
        plot_accuracy(report, plot)
        say(f"plot: {plot}")


def _run_speed(
    synthesizer: Synthesizer, *, seed: int, resolution: int | None, json: Path | None
) -> None:
    from dataclasses import replace

    from sgps.evaluation.report import save_json
    from sgps.evaluation.speed import measure_speed
    from sgps.service.provenance import git_commit

    with stages() as progress:
        report = measure_speed(synthesizer, seed=seed, resolution=resolution, progress=progress)
    write_result(report.to_text())
    if json is not None:
        origin = {"command": COMMAND_LINE.get(), "commit": git_commit() or ""}
        report = replace(report, settings={**report.settings, **origin})
        save_json(report.to_dict(), json)
        say(f"report: {json}")


def _load_generator(name: str | None, device: str | None) -> Synthesizer:
    from sgps.settings import load_settings
    from sgps.synthesizer import Synthesizer

    defaults = load_settings()
    return Synthesizer.load(
        name or defaults.generator,
        device=device or defaults.device,
        allow_downloads=defaults.allow_downloads,
    )


def _refuse_options(context: typer.Context, names: Sequence[str]) -> None:
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--" + name.replace("_", "-")
            wrong, right = (
                ("suite", "manifest") if name in _OF_A_MANIFEST else ("manifest", "suite")
            )
            raise InputError(
                f"{option} with --{wrong}",
                expected=f"{option} with --{right} only",
                remedy="see 'sgps benchmark --help'",
            )


def _parts(values: Sequence[str] | None) -> list[str]:
    return [part.strip() for value in values or () for part in value.split(",") if part.strip()]


def _numbers(values: Sequence[str] | None) -> list[int]:
    parts = _parts(values)
    wrong = [part for part in parts if not part.isdecimal()]
    if wrong:
        raise InputError(f"--shots {wrong[0]!r}", expected="whole numbers, such as 1,5")
    return [int(part) for part in parts]
