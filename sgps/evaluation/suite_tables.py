"""Tables over all settings of a benchmark, as texts; what was not measured is a dash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sgps.evaluation import bars
from sgps.evaluation.bars import Setting, Standing
from sgps.evaluation.methods import SGPS
from sgps.evaluation.setting_tables import ABSENT, Row, Table, figure_cell, share_cell


def standings_table(settings: Sequence[Setting], standings: Sequence[Standing]) -> Table:
    """Return SGPS against the best baseline of each setting."""
    rows = []
    for setting, standing in zip(settings, standings, strict=True):
        best, difference = standing.best, standing.difference
        rows.append(
            Row(
                (
                    standing.setting,
                    share_cell(setting, SGPS, "accuracy"),
                    ABSENT if best is None else bars.full_label(best),
                    ABSENT if best is None else share_cell(setting, best, "accuracy"),
                    ABSENT if difference is None else bars.difference_text(difference),
                    ABSENT if difference is None else f"{difference.episodes:,}",
                    standing.verdict,
                ),
                tag="to be clearly above" if standing.clear_wanted else "",
            )
        )
    return Table(
        "SGPS against the best baseline of each setting: accuracy in per cent; difference in "
        "points, paired over the episodes that both ran",
        (
            "Setting",
            "SGPS",
            "Best baseline",
            "Its accuracy",
            "SGPS minus it",
            "Episodes",
            "SGPS is",
        ),
        "lrlrrrl",
        tuple(rows),
    )


def parts_table(
    settings: Sequence[Setting], parts: Mapping[str, Sequence[bars.PartWorth]]
) -> Table:
    """Return what SGPS loses by each ablation; a row a setting, a column an ablation."""
    worth = {
        name: {part.setting: bars.difference_text(part.difference) for part in measured}
        for name, measured in parts.items()
    }
    rows = [
        Row((label, *(worth[name].get(label, ABSENT) for name in parts)))
        for label in map(bars.setting_label, settings)
    ]
    costly = (
        f"{sum(part.difference.low > 0 for part in measured)} of {len(measured)}"
        for measured in parts.values()
    )
    return Table(
        "SGPS minus SGPS with one part changed: accuracy in points with 95 % interval",
        ("Setting", *(bars.method_label(name) for name in parts)),
        "l" + "r" * len(parts),
        (*rows, Row(("Settings where it costs accuracy", *costly), own=True)),
    )


def calibration_table(settings: Sequence[Setting]) -> Table:
    """Return calibration and rejection of SGPS beside those of the best baseline."""
    metrics = ("ece", "brier", "absent_auroc")
    rows = [
        Row(
            (
                bars.setting_label(setting),
                *(
                    figure_cell(setting, name, metric)
                    for metric in metrics
                    for name in (SGPS, bars.best_baseline(setting))
                ),
            )
        )
        for setting in settings
    ]
    words = ("ECE", "Brier score", "Absent-class AUROC")
    heads = (f"{word}, {whose}" for word in words for whose in ("SGPS", "best baseline"))
    return Table(
        "SGPS beside the baseline that is best by accuracy",
        ("Setting", *heads),
        "lrrrrrr",
        tuple(rows),
    )


def data_table(settings: Sequence[Setting]) -> Table:
    """Return what each setting was measured on."""
    columns = {
        "dataset": "Dataset",
        "role": "Role",
        "resolution": "Pixels",
        "images": "Images",
        "n_query": "Queries a class",
        "episodes": "Episodes",
        "seed": "Seed",
        "data_digest": "Data digest",
        "episodes_digest": "Episodes digest",
    }
    rows = (
        Row(
            (
                bars.setting_label(setting),
                *(str(setting["settings"].get(key, ABSENT)) for key in columns),
            )
        )
        for setting in settings
    )
    caption = "Data of each setting; digests are SHA-256"
    return Table(caption, ("Setting", *columns.values()), "lllrrrrrll", tuple(rows))


def definitions_table(settings: Sequence[Setting]) -> Table:
    """Return each method's definition, once where it is the same in several settings."""
    found: dict[tuple[str, str], list[str]] = {}
    for setting in settings:
        for name, details in setting["settings"].get("methods", {}).items():
            text = json.dumps(details, sort_keys=True, ensure_ascii=False)
            found.setdefault((name, text), []).append(bars.setting_label(setting))
    rows = tuple(
        Row((name, "all" if len(labels) == len(settings) else "; ".join(labels), text))
        for (name, text), labels in found.items()
    )
    return Table("What defines each method", ("Method", "Settings", "Definition"), "lll", rows)
