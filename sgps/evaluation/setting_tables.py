"""Tables of one setting of a benchmark, as texts; what was not measured is a dash."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sgps.evaluation import bars
from sgps.evaluation.bars import Setting
from sgps.evaluation.corruptions import CLEAN
from sgps.evaluation.methods import SGPS

ABSENT = "–"
_COVERAGES = (1.0, 0.9, 0.75, 0.5, 0.25)


@dataclass(frozen=True)
class Row:
    """The cells of a row, the first its head; ``own`` marks SGPS, ``tag`` follows the head."""

    cells: tuple[str, ...]
    own: bool = False
    tag: str = ""


@dataclass(frozen=True)
class Table:
    """A table of texts; ``align`` has an l or an r for each column."""

    caption: str
    head: tuple[str, ...]
    align: str
    rows: tuple[Row, ...]


def share_cell(setting: Setting, name: str, metric: str) -> str:
    """Return a share of a method in per cent with its interval."""
    interval = setting["methods"].get(name, {}).get(metric)
    return ABSENT if interval is None else bars.share_text(interval)


def figure_cell(
    setting: Setting,
    name: str | None,
    metric: str,
    text: Callable[[float], str] = "{:.3f}".format,
) -> str:
    """Return the mean of a method's metric, with three decimals unless ``text`` says otherwise."""
    interval = setting["methods"].get(name, {}).get(metric)
    return ABSENT if interval is None else text(interval["mean"])


def results_table(setting: Setting) -> Table:
    """Return the figures of each method but the ablations, the most accurate first."""
    best = bars.best_baseline(setting)
    rows = []
    for name in _by_accuracy(setting):
        difference = bars.difference_to(setting, name)
        episodes = setting["episodes_of"].get(name, setting["settings"]["episodes"])
        cells = (
            bars.method_label(name),
            bars.base_label(name) or ABSENT,
            share_cell(setting, name, "accuracy"),
            ABSENT if difference is None else bars.difference_text(difference),
            share_cell(setting, name, "balanced_accuracy"),
            *(figure_cell(setting, name, metric) for metric in ("auroc", "ece", "brier")),
            figure_cell(setting, name, "seconds_per_synthesis", _seconds),
            figure_cell(setting, name, "seconds_per_query", lambda value: _seconds(1000 * value)),
            f"{episodes:,}",
        )
        rows.append(Row(cells, own=name == SGPS, tag="best baseline" if name == best else ""))
    return Table(
        f"{bars.setting_label(setting)}: accuracies in per cent, SGPS minus each method in points, "
        "both with 95 % intervals; times as they were when each prediction was made, beside "
        "whatever else ran",
        (
            *("Method", "Base", "Accuracy", "SGPS minus it", "Balanced accuracy", "AUROC", "ECE"),
            *("Brier score", "Seconds to classifier", "ms per image", "Episodes"),
        ),
        "llrrrrrrrrr",
        tuple(rows),
    )


def recall_table(setting: Setting) -> Table | None:
    """Return the recall of each class by each method; None where none was measured."""
    told = (metric for figures in setting["methods"].values() for metric in figures)
    found = (metric for metric in told if metric.startswith("recall:"))
    recalls = {metric.removeprefix("recall:"): metric for metric in found}
    return _share_table(setting, recalls, "recall of each class in per cent")


def corruption_table(setting: Setting) -> Table | None:
    """Return the accuracy of each method on corrupted queries; None where none was measured."""
    metrics = bars.corruption_metrics(setting)
    episodes = setting["settings"].get("corruption_episodes")
    which = "" if metrics.get(CLEAN) == f"accuracy:{CLEAN}" else "the corrupted ones "
    caption = "accuracy in per cent on clean and on corrupted queries" + (
        f", {which}of at most {episodes:,} episodes" if episodes else ""
    )
    heads = {bars.in_words(kind): metric for kind, metric in metrics.items()}
    return _share_table(setting, heads, caption)


def abstention_table(setting: Setting) -> Table | None:
    """Return errors by coverage and the absent-class AUROC; None where none was measured."""
    curves = setting.get("curves", {})
    names = [
        name
        for name in _by_accuracy(setting)
        if "coverage" in curves.get(name, {}) or "absent_auroc" in setting["methods"][name]
    ]
    rows = tuple(
        Row(
            (
                bars.full_label(name),
                *_errors_by_coverage(curves.get(name, {})),
                figure_cell(setting, name, "absent_auroc"),
            ),
            own=name == SGPS,
        )
        for name in names
    )
    heads = (
        f"Errors at {share:.0%} coverage".replace("%", "\N{NO-BREAK SPACE}%")
        for share in _COVERAGES
    )
    return (
        Table(
            f"{bars.setting_label(setting)}: errors in per cent among the surest share of the "
            "images, and AUROC of rejecting images of a class that is not in the task",
            ("Method", *heads, "Absent-class AUROC"),
            "lrrrrrr",
            rows,
        )
        if rows
        else None
    )


def subgroup_table(setting: Setting) -> Table | None:
    """Return the accuracy of the leading methods in each subgroup; None where there is none."""
    measured = setting.get("subgroups", {})
    names = bars.leaders(setting, having=lambda name: bool(measured.get(name)))
    rows = []
    for attribute, group in bars.subgroups_of(setting):
        found = [measured[name].get(attribute, {}).get(group) for name in names]
        counts = (_largest(found, count) for count in ("groups", "queries"))
        label = f"{bars.in_words(attribute)}: {group}"
        rows.append(Row((label, *map(_subgroup_cell, found), *counts)))
    return (
        Table(
            f"{bars.setting_label(setting)}: accuracy in per cent in each subgroup of the queries; "
            f"no interval where they are known to show fewer than {bars.FEWEST_PEOPLE} people or "
            "lesions",
            ("Subgroup", *map(bars.full_label, names), "People or lesions", "Queries"),
            "l" + "r" * (len(names) + 2),
            tuple(rows),
        )
        if rows
        else None
    )


def _subgroup_cell(subgroup: Mapping[str, float] | None) -> str:
    if subgroup is None:
        return ABSENT
    if bars.of_few_people(subgroup):
        return f"{100 * subgroup['mean']:.1f} ± {ABSENT}"
    return bars.share_text(subgroup)


def _largest(subgroups: Sequence[Mapping[str, float] | None], count: str) -> str:
    """Return the largest count, which is that of a method which ran all episodes."""
    found = [each[count] for each in subgroups if each is not None and count in each]
    return f"{max(found):,}" if found else ABSENT


def _by_accuracy(setting: Setting) -> list[str]:
    """Return the methods but the ablations, the most accurate first."""
    methods = setting["methods"]
    names = (name for name in methods if not bars.is_ablation(name))
    return sorted(names, key=lambda name: -methods[name]["accuracy"]["mean"])


def _share_table(setting: Setting, metrics: Mapping[str, str], caption: str) -> Table | None:
    """Return a column for each head and its metric; methods without any but accuracy are left out.

    None where there is no metric.
    """
    methods = setting["methods"]
    wanted = set(metrics.values()) - {"accuracy"}
    names = [name for name in _by_accuracy(setting) if not wanted.isdisjoint(methods[name])]
    shares = ([share_cell(setting, name, each) for each in metrics.values()] for name in names)
    rows = (
        Row((bars.full_label(name), *cells), own=name == SGPS)
        for name, cells in zip(names, shares, strict=True)
    )
    return (
        Table(
            f"{bars.setting_label(setting)}: {caption}",
            ("Method", *metrics),
            "l" + "r" * len(metrics),
            tuple(rows),
        )
        if metrics
        else None
    )


def _errors_by_coverage(curve: Mapping[str, Any]) -> list[str]:
    if "coverage" not in curve:
        return [ABSENT] * len(_COVERAGES)
    errors = [
        1 - float(np.interp(share, curve["coverage"], curve["accuracy"])) for share in _COVERAGES
    ]
    return [f"{100 * error:.1f}" for error in errors]


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.5 else f"{value:#.3g}"
