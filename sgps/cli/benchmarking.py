"""``sgps benchmark``: SGPS and its baselines on the same episodes of any manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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

PLOT_SUFFIXES = (".png", ".svg")


def add_commands(app: typer.Typer) -> None:
    """Add ``benchmark``."""
    register(
        app,
        "benchmark",
        benchmark,
        example="sgps benchmark --manifest data/ham10000/manifest.csv --role novel_test "
        "--n-way 3 --k-shot 5 --json reports/ham10000.json",
    )


def benchmark(
    manifest: Annotated[Path, typer.Option(help="CSV or Parquet: file, label, group, role.")],
    role: Annotated[str, typer.Option(help="Whose rows are used.")] = "novel_test",
    n_way: Annotated[int, typer.Option(help="Classes an episode.")] = 5,
    k_shot: Annotated[int, typer.Option(help="Support images a class.")] = 1,
    n_query: Annotated[int, typer.Option(help="Query images a class, at most.")] = 10,
    episodes: Annotated[int, typer.Option(help="How many episodes.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the episodes.")] = 0,
    resolution: Annotated[
        int | None,
        typer.Option(min=32, help="Side of the images in pixels; default: the generator's."),
    ] = None,
    generator: Annotated[
        str | None, typer.Option(help="Generator: name or path; default: SGPS_GENERATOR.")
    ] = None,
    descriptions: DescriptionsOption = None,
    texts: TextsFlag = True,
    dataset: Annotated[
        str, typer.Option(help="Name for the descriptions; default: the manifest's folder.")
    ] = "",
    device: DeviceOption = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the report here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw accuracies here, .png or .svg.")] = None,
) -> None:
    """Score SGPS and baselines on a manifest.

    All methods see the same seeded episodes; intervals are at 95 %, and the difference to each
    baseline is paired.
    """
    from sgps.evaluation import (
        BenchmarkSettings,
        Method,
        SynthesizerMethod,
        public_baselines,
        run_benchmark,
    )
    from sgps.evaluation.plots import plot_accuracy
    from sgps.settings import load_settings
    from sgps.synthesizer import Synthesizer

    for output in (json, plot):
        if output is not None:
            require_writable_file(output)
    if plot is not None and plot.suffix not in PLOT_SUFFIXES:
        raise InputError(
            f"--plot {plot}", expected="a name that ends in .png or .svg", remedy="rename it"
        )
    defaults = load_settings()
    synthesizer = Synthesizer.load(
        generator or defaults.generator,
        device=device or defaults.device,
        allow_downloads=defaults.allow_downloads,
    )
    settings = BenchmarkSettings(
        manifest=manifest,
        role=role,
        n_way=n_way,
        k_shot=k_shot,
        n_query=n_query,
        episodes=episodes,
        seed=seed,
        resolution=resolution or synthesizer.resolution,
        dataset=dataset,
        descriptions=find_descriptions(descriptions, texts),
    )
    methods: list[Method] = [SynthesizerMethod(synthesizer), *public_baselines()]
    with stages() as progress:
        report = run_benchmark(settings, methods, command=COMMAND_LINE.get(), progress=progress)
    if settings.descriptions is not None and not report.settings["described_classes"]:
        say(f"warning: {settings.descriptions} describes no class of this dataset: no texts used")
    write_result(report.to_text())
    if json is not None:
        report.save(json)
        say(f"report: {json}")
    if plot is not None:
        plot_accuracy(report, plot)
        say(f"plot: {plot}")
