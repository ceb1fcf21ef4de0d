"""Pictures of a benchmark report, drawn without a display."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sgps.errors import InputError, StoreError
from sgps.evaluation.methods import SGPS
from sgps.evaluation.report import BenchmarkReport

_OWN_COLOUR = "#0b6e99"
_OTHER_COLOUR = "#8a8f98"
_LINE_COLOURS = ("#d1711f", "#7a4fa3", "#4c8c3f", "#b3364b", "#8c6d31", "#5b6470")
_LEAST_QUERIES = 10
_TYPES = (".png", ".svg")


def plot_accuracy(report: BenchmarkReport, path: Path) -> None:
    """Write a picture (.png or .svg) of each method's accuracy with its 95 % interval.

    Raises
    ------
    InputError: the path ends in neither. StoreError: the file cannot be written.
    """
    figures = report.methods()
    names = sorted(figures, key=lambda name: figures[name]["accuracy"].mean)
    figure = Figure(figsize=(7, 1.2 + 0.45 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        mean, low, high = (100 * value for value in figures[name]["accuracy"])
        colour = _OWN_COLOUR if name == SGPS else _OTHER_COLOUR
        axes.plot([low, high], [place, place], color=colour, linewidth=3, solid_capstyle="round")
        axes.plot([mean], [place], "o", color=colour, markersize=8)
        axes.annotate(f"{mean:.1f}", (mean, place), (0, 8), textcoords="offset points", ha="center")
    chance = 100 / int(report.settings["n_way"])
    axes.axvline(chance, color=_OTHER_COLOUR, linestyle=":")
    axes.annotate("chance", (chance, -0.65), (4, 0), textcoords="offset points", va="bottom")
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_ylim(-0.7, len(names) - 0.2)
    axes.set_xlabel("accuracy in per cent, with 95 % interval")
    axes.set_title(_title(report))
    _finish(figure, axes)
    _save(figure, path)


def plot_reliability(report: BenchmarkReport, path: Path) -> None:
    """Write a reliability diagram (.png or .svg): accuracy over confidence, all queries pooled.

    Bins of fewer than 10 queries are left out of the lines, not of the calibration error.

    Raises
    ------
    InputError: the path ends in neither. StoreError: the file cannot be written.
    """
    figure = Figure(figsize=(5.5, 5.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=_OTHER_COLOUR, linestyle=":", label="perfect")
    colours = itertools.cycle(_LINE_COLOURS)
    for name, scores in report.scores.items():
        bins = scores.pooled_bins()
        filled = bins.counts >= _LEAST_QUERIES
        confidence = bins.confidence_sums[filled] / bins.counts[filled]
        hit_rate = bins.hits[filled] / bins.counts[filled]
        label = f"{name.replace('_', ' ')} (ECE {float(bins.error()):.3f})"
        colour, width = (_OWN_COLOUR, 2.5) if name == SGPS else (next(colours), 1.2)
        axes.plot(
            confidence, hit_rate, "o-", color=colour, linewidth=width, markersize=4, label=label
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    axes.set_title(_title(report))
    _finish(figure, axes)
    axes.legend(frameon=False, loc="upper left", fontsize="small")
    _save(figure, path)


def _title(report: BenchmarkReport) -> str:
    settings = report.settings
    return (
        f"{settings['dataset']}, {settings['n_way']}-way {settings['k_shot']}-shot, "
        f"{settings['episodes']} episodes"
    )


def _finish(figure: Figure, axes: Axes) -> None:
    figure.set_facecolor("white")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)


def _save(figure: Figure, path: Path) -> None:
    if path.suffix not in _TYPES:
        raise InputError(f"picture {path}", expected="a name ending in " + " or ".join(_TYPES))
    FigureCanvasAgg(figure)
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with rc_context({"svg.hashsalt": "sgps"}):
            figure.savefig(path, dpi=150, metadata=metadata)
    except OSError as error:
        raise StoreError(f"picture {path} cannot be written: {error}") from error
