"""Each method's accuracy in each episode: what means and paired differences are taken over."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sgps.evaluation.report import BenchmarkReport

SETTING = ("setting", "n_way", "k_shot", "seed", "resolution", "data_digest", "generator_sha256")
"""Columns that tell which episodes a row is of, and what made the figures of the synthesizer."""

EPISODE = "episode"


def episode_table(reports: Sequence[BenchmarkReport]) -> pd.DataFrame:
    """Return one row an episode of each report, and a column a method.

    Columns: those of :data:`SETTING`; ``episode``, its number, from 0 in the whole series; then the
    accuracy, 0 to 1, of each method by its name, missing where it did not run on that episode.
    """
    if not reports:
        return pd.DataFrame(columns=[*SETTING, EPISODE])
    return pd.concat([_rows(report) for report in reports], ignore_index=True)


def _rows(report: BenchmarkReport) -> pd.DataFrame:
    columns = {name: scores.by_episode["accuracy"] for name, scores in report.scores.items()}
    rows = pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})
    first = report.settings["first_episode"]
    rows.insert(0, EPISODE, range(first, first + len(rows)))
    facts = {"setting": report.settings["name"], **report.settings}
    for place, name in enumerate(SETTING):
        rows.insert(place, name, facts.get(name, ""))
    return rows
