"""A benchmark suite as one HTML page that needs nothing beside it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sgps.evaluation import bars, setting_tables, suite_tables
from sgps.evaluation.bars import Setting, Standing
from sgps.evaluation.methods import SGPS
from sgps.evaluation.setting_tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawing = tuple[Callable[[Setting], "Figure"], str]

_TEMPLATE = "benchmark_report.html.j2"
_VERDICT_STYLES = {
    bars.CLEARLY_ABOVE: "good",
    bars.AT_LEAST_EQUAL: "good",
    bars.NOT_BELOW: "even",
    bars.BELOW: "bad",
    bars.NOT_JUDGED: "even",
}


@dataclass(frozen=True)
class Picture:
    """A picture as a data address, what it shows in words, and its size in pixels."""

    source: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True)
class Detail:
    """A part of a section that a reader opens."""

    title: str
    pictures: tuple[Picture, ...]
    table: Table


@dataclass(frozen=True)
class Section:
    """What the page says of one setting; ``best`` and ``better`` are baselines in words."""

    anchor: str
    k_shot: int
    standing: Standing
    best: str
    better: tuple[str, ...]
    table: Table
    details: tuple[Detail, ...]


def render_page(suite: Mapping[str, Any]) -> str:
    """Return the HTML of a suite: pictures inlined, every text of the suite escaped.

    suite: ``suite`` (command, commit, seed, ...) and ``settings``, each in the form of
        `BenchmarkReport.to_dict`; what was not measured is left out of the page.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader("sgps.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    settings = suite["settings"]
    return environment.get_template(_TEMPLATE).render(
        **_summary(suite),
        **_parts(suite),
        calibration=suite_tables.calibration_table(settings),
        calibrated=_calibrated(settings),
        groups=_groups(settings),
        skipped=suite.get("skipped", []),
        interval=settings[0]["settings"].get("interval", ""),
        provenance=_provenance(suite["suite"]),
        data=suite_tables.data_table(settings),
        definitions=suite_tables.definitions_table(settings),
        limits={
            "ece": bars.LARGEST_CALIBRATION_ERROR,
            "shots": bars.CALIBRATION_SHOTS,
            "absent": bars.LEAST_ABSENT_AUROC,
            "clear_on": f"{' and '.join(bars.CLEAR_SETTINGS)} at "
            f"{' and '.join(map(str, bars.CLEAR_SHOTS))} shots",
        },
        verdict_styles=_VERDICT_STYLES,
        difference_text=bars.difference_text,
    )


def _summary(suite: Mapping[str, Any]) -> dict[str, Any]:
    from sgps.evaluation.plots import draw_overview  # noqa: PLC0415

    settings, standings = suite["settings"], bars.judge_suite(suite)
    judged = [each for each in standings if each.difference is not None]
    alt = (
        f"Dot plot of {len(settings)} settings. On the left the accuracy of SGPS and of the best "
        "baseline of each base with 95 % intervals, on the right SGPS minus the best of them. "
        "The table below holds the figures."
    )
    return {
        "counts": bars.count_verdicts(standings),
        "judged": sorted(judged, key=lambda each: -each.difference.mean if each.difference else 0),
        "standings": suite_tables.standings_table(settings, standings),
        "overview": _picture(draw_overview(suite), alt),
    }


def _parts(suite: Mapping[str, Any]) -> dict[str, Any]:
    worth = bars.worth_of_parts(suite)
    return {
        "parts": suite_tables.parts_table(suite["settings"], worth) if worth else None,
        "idle_parts": [
            bars.method_label(name)
            for name, measured in worth.items()
            if not bars.is_worth_something(measured)
        ],
    }


def _calibrated(settings: Sequence[Setting]) -> tuple[int, int]:
    """Return how many of the settings at 5 shots meet the bar of calibration, and of how many."""
    errors = [
        setting["methods"][SGPS]["ece"]["mean"]
        for setting in settings
        if setting["settings"]["k_shot"] == bars.CALIBRATION_SHOTS
        and "ece" in setting["methods"].get(SGPS, {})
    ]
    return sum(error <= bars.LARGEST_CALIBRATION_ERROR for error in errors), len(errors)


def _groups(settings: Sequence[Setting]) -> list[tuple[str, Mapping[str, Any], list[Section]]]:
    """Return heading, settings of the first, and sections by name and number of ways."""

    def heading(numbered: tuple[int, Setting]) -> str:
        setting = numbered[1]
        return f"{bars.setting_name(setting)}, {setting['settings']['n_way']}-way"

    groups = []
    for name, members in itertools.groupby(enumerate(settings, 1), heading):
        found = list(members)
        sections = [_section(number, setting) for number, setting in found]
        groups.append((name, found[0][1]["settings"], sections))
    return groups


def _section(number: int, setting: Setting) -> Section:
    standing = bars.judge_setting(setting)
    return Section(
        anchor=f"setting-{number}",
        k_shot=setting["settings"]["k_shot"],
        standing=standing,
        best="" if standing.best is None else bars.full_label(standing.best),
        better=tuple(map(bars.full_label, standing.clearly_better)),
        table=setting_tables.results_table(setting),
        details=_details(setting),
    )


def _details(setting: Setting) -> tuple[Detail, ...]:
    from sgps.evaluation import plots  # noqa: PLC0415

    subgroups = (plots.draw_subgroups, "Bars of the accuracy in each subgroup")
    corruptions = (plots.draw_corruptions, "Bars of the accuracy on clean and corrupted queries")
    parts: tuple[tuple[str, Table | None, Sequence[Drawing]], ...] = (
        ("Recall by class", setting_tables.recall_table(setting), ()),
        (
            "Abstention, calibration and absent classes",
            setting_tables.abstention_table(setting),
            _curve_drawings(setting),
        ),
        ("Subgroups", setting_tables.subgroup_table(setting), (subgroups,)),
        ("Corruptions", setting_tables.corruption_table(setting), (corruptions,)),
    )
    label = bars.setting_label(setting)
    return tuple(
        Detail(
            title,
            tuple(
                _picture(draw(setting), f"{what}: SGPS and the best baseline of each base, {label}")
                for draw, what in drawings
            ),
            table,
        )
        for title, table, drawings in parts
        if table is not None
    )


def _curve_drawings(setting: Setting) -> list[Drawing]:
    from sgps.evaluation import plots  # noqa: PLC0415

    measured = {key for curve in setting.get("curves", {}).values() for key in curve}
    drawings: dict[str, Drawing] = {
        "coverage": (plots.draw_risk_coverage, "Risk-coverage curves"),
        "reliability": (plots.draw_reliability, "Reliability diagram"),
    }
    return [drawing for key, drawing in drawings.items() if key in measured]


def _picture(figure: Figure, alt: str) -> Picture:
    from sgps.evaluation.plots import svg_address  # noqa: PLC0415

    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Picture(svg_address(figure), alt, width, height)


def _provenance(about: Mapping[str, Any]) -> dict[str, str]:
    """Return what the suite says of itself, in its order; maps on one line."""
    return {
        str(key).replace("_", " "): (
            ", ".join(f"{name} {version}" for name, version in value.items())
            if isinstance(value, Mapping)
            else value
            if isinstance(value, str)
            else json.dumps(value, ensure_ascii=False)
        )
        for key, value in about.items()
    }
