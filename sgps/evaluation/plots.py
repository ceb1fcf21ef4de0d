"""Pictures of a benchmark, drawn without a display: `plot_*` into files, `draw_*` for a page.

The figures of `draw_*` take a suite, or one setting of it, in the form of
`BenchmarkReport.to_dict`. They show SGPS and the best baseline of each base; each has a colour, a
mark and a line or hatching of its own, which do not need to be told apart by colour alone.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgps.errors import InputError
from sgps.evaluation.bars import (
    Setting,
    base_label,
    base_of,
    corruption_metrics,
    in_words,
    judge_setting,
    leaders,
    method_label,
    of_few_people,
    setting_label,
    subgroups_of,
)
from sgps.evaluation.methods import SGPS
from sgps.evaluation.report import BenchmarkReport
from sgps.files import whole_file

_OTHER_COLOUR = "#8a8f98"
_LEAST_QUERIES = 10
_TYPES = (".png", ".svg")
_INK = "#1b2430"


class _Mark(NamedTuple):
    """How one side of the comparison is drawn."""

    words: str
    colour: str
    symbol: str
    line: str
    hatch: str
    shift: float

    def key(self) -> Line2D:
        return Line2D([], [], color=self.colour, marker=self.symbol, label=self.words)


_MARKS = {
    SGPS: _Mark("SGPS", "#0072b2", "o", "-", "", -0.22),
    "public": _Mark("best baseline, public base", "#d55e00", "s", "--", "/", 0.0),
    "meta": _Mark("best baseline, meta-trained base", "#009e73", "D", "-.", "\\\\", 0.22),
    "": _Mark("best of the others", "#5b6470", "^", ":", "x", 0.33),
}


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
        colour = _MARKS[SGPS].colour if name == SGPS else _OTHER_COLOUR
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
    """Write the reliability diagram of `draw_reliability` (.png or .svg).

    Raises
    ------
    InputError: the path ends in neither. StoreError: the file cannot be written.
    """
    figure = draw_reliability(report.to_dict())
    figure.axes[0].set_title(_title(report))
    _save(figure, path)


def svg_address(figure: Figure) -> str:
    """Return a figure as a data address of an SVG: text stays text, the same bytes each time."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "sgps", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def draw_overview(suite: Mapping[str, Any]) -> Figure:
    """Draw each setting's accuracy and the difference to its best baseline, with intervals.

    On the left SGPS and the best baseline of each base; on the right SGPS minus the best of both,
    on the episodes that both ran: filled where the interval does not hold 0.
    """
    settings = suite["settings"]
    figure = Figure(figsize=(10, 1.3 + 0.52 * len(settings)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for place, setting in enumerate(settings):
        for name in leaders(setting):
            mark = _MARKS[_side(name)]
            mean, low, high = _in_per_cent(setting["methods"][name]["accuracy"])
            height = place + mark.shift
            left.plot([low, high], [height, height], color=mark.colour, linewidth=2)
            left.plot([mean], [height], mark.symbol, color=mark.colour, markersize=6)
        if (difference := judge_setting(setting).difference) is not None:
            mean, low, high = (100 * value for value in difference[:3])
            face = _INK if low > 0 or high < 0 else "white"
            right.plot([low, high], [place, place], color=_INK, linewidth=2)
            right.plot([mean], [place], "o", color=_INK, markerfacecolor=face, markersize=7)
    left.set_yticks(range(len(settings)), [f"{setting_label(setting):.40}" for setting in settings])
    left.set_ylim(len(settings) - 0.4, -0.6)
    left.set_xlabel("accuracy in per cent, with 95 % interval")
    right.axvline(0, color=_INK, linewidth=1)
    right.set_xlabel("SGPS minus the best baseline, in points")
    for axes in (left, right):
        _finish(figure, axes)
        axes.tick_params(axis="y", length=0)
        for place in range(1, len(settings)):
            axes.axhline(place - 0.5, color=_OTHER_COLOUR, linewidth=0.4, alpha=0.5)
    sides = {_side(name) for setting in settings for name in leaders(setting)}
    figure.legend(
        handles=[mark.key() for side, mark in _MARKS.items() if side in sides],
        loc="outside upper left",
        ncols=len(sides),
        frameon=False,
    )
    return figure


def draw_risk_coverage(setting: Setting) -> Figure:
    """Draw the error among the most confident share of the queries over that share."""
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for name in _leaders_with(setting, "coverage"):
        curve, mark = setting["curves"][name], _MARKS[_side(name)]
        coverage = 100 * np.asarray(curve["coverage"], dtype=np.float64)
        errors = 100 * (1 - np.asarray(curve["accuracy"], dtype=np.float64))
        axes.plot(coverage, errors, mark.line, color=mark.colour, label=_legend_label(name))
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("coverage: share of images answered, in per cent")
    axes.set_ylabel("errors among them, in per cent")
    _finish(figure, axes, legend=True)
    return figure


def draw_reliability(setting: Setting) -> Figure:
    """Draw accuracy over confidence, all queries pooled.

    Bins of fewer than 10 queries are left out of the lines, not of the calibration error.
    """
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=_OTHER_COLOUR, linestyle=":", linewidth=1)
    for name in _leaders_with(setting, "reliability"):
        bins, mark = setting["curves"][name]["reliability"], _MARKS[_side(name)]
        filled = np.asarray(bins["counts"], dtype=np.float64) >= _LEAST_QUERIES
        confidence = np.asarray(bins["confidence"], dtype=np.float64)[filled]
        hit_rate = np.asarray(bins["accuracy"], dtype=np.float64)[filled]
        label = f"{_legend_label(name)}, ECE {setting['methods'][name]['ece']['mean']:.3f}"
        style = f"{mark.symbol}{mark.line}"
        axes.plot(confidence, hit_rate, style, color=mark.colour, markersize=4, label=label)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    _finish(figure, axes, legend=True)
    return figure


def draw_corruptions(setting: Setting) -> Figure:
    """Draw the accuracy on clean and on corrupted queries as bars with intervals."""
    metrics = corruption_metrics(setting)
    measured = setting["methods"]
    *_, last = metrics.values()
    names = leaders(setting, having=lambda name: last in measured[name])
    bars = {name: [measured[name].get(metric) for metric in metrics.values()] for name in names}
    return _draw_bars(setting, list(map(in_words, metrics)), bars)


def draw_subgroups(setting: Setting) -> Figure:
    """Draw the accuracy in each subgroup of the images as bars; with intervals unless of few."""
    measured = setting["subgroups"]
    names = leaders(setting, having=lambda name: bool(measured.get(name)))
    groups = subgroups_of(setting)
    bars = {
        name: [
            _without_few(measured[name].get(attribute, {}).get(group))
            for attribute, group in groups
        ]
        for name in names
    }
    labels = [f"{in_words(attribute)}\n{group}" for attribute, group in groups]
    return _draw_bars(setting, labels, bars)


def _without_few(subgroup: Mapping[str, float] | None) -> Mapping[str, float] | None:
    """Return an interval that ends where it begins for a subgroup of few people."""
    if subgroup is None or not of_few_people(subgroup):
        return subgroup
    return dict.fromkeys(("mean", "low", "high"), subgroup["mean"])


def _draw_bars(
    setting: Setting,
    labels: Sequence[str],
    bars: Mapping[str, Sequence[Mapping[str, float] | None]],
) -> Figure:
    """Draw a group of bars for each label, one a method; None leaves a gap."""
    figure = Figure(figsize=(max(4.6, 1.4 + 0.95 * len(labels)), 3.6), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / max(len(bars), 1)
    for number, (name, intervals) in enumerate(bars.items()):
        mark = _MARKS[_side(name)]
        shift = (number - (len(bars) - 1) / 2) * width
        drawn = [(place, each) for place, each in enumerate(intervals) if each is not None]
        means, lows, highs = np.array([_in_per_cent(each) for _, each in drawn]).T
        axes.bar(
            [place + shift for place, _ in drawn],
            means,
            width * 0.92,
            yerr=(means - lows, highs - means),
            color=mark.colour,
            hatch=mark.hatch,
            edgecolor="white",
            error_kw={"ecolor": _INK, "elinewidth": 1},
            label=_legend_label(name),
        )
    axes.axhline(100 / int(setting["settings"]["n_way"]), color=_INK, linestyle=":", linewidth=1)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel("accuracy in per cent")
    _finish(figure, axes, legend=True, lines="y")
    return figure


def _leaders_with(setting: Setting, curve: str) -> list[str]:
    """Return SGPS and the best baseline of each base, of the methods that have a curve."""
    curves = setting.get("curves", {})
    return leaders(setting, having=lambda name: bool(curves.get(name, {}).get(curve)))


def _side(name: str) -> str:
    return SGPS if name == SGPS else base_of(name)


def _legend_label(name: str) -> str:
    base = base_label(name)
    return f"{method_label(name)} ({base})" if base else method_label(name)


def _in_per_cent(interval: Mapping[str, float]) -> tuple[float, float, float]:
    return 100 * interval["mean"], 100 * interval["low"], 100 * interval["high"]


def _title(report: BenchmarkReport) -> str:
    label = setting_label({"settings": report.settings})
    return f"{label}, {report.settings['episodes']} episodes"


def _finish(
    figure: Figure, axes: Axes, *, lines: Literal["x", "y"] = "x", legend: bool = False
) -> None:
    figure.set_facecolor("white")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=lines, alpha=0.25)
    axes.set_axisbelow(True)
    if legend:
        figure.legend(loc="outside upper left", frameon=False, fontsize="small")


def _save(figure: Figure, path: Path) -> None:
    if path.suffix not in _TYPES:
        raise InputError(f"picture {path}", expected="a name ending in " + " or ".join(_TYPES))
    FigureCanvasAgg(figure)
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    with whole_file(path) as file, rc_context({"svg.hashsalt": "sgps"}):
        figure.savefig(file, format=path.suffix[1:], dpi=150, metadata=metadata)
