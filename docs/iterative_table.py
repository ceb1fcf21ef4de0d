"""SGPS against training on the support: the table of results.md from accuracies by episode.

    python docs/iterative_table.py --add reports/full/episodes.csv
    python docs/iterative_table.py --write docs/results.md

The record, one row an episode that the iterative methods ran on, grows by ``--add`` from the
``episodes.csv`` of ``sgps benchmark --baselines all``, wherever and whenever that was run; a row
that is there already is replaced. Rows of other images, another generator, resolution or seed than
those of the same setting are refused. Of the first episodes of some settings only means and
intervals were kept, in ``iterative_figures.csv`` beside the record; they stand for these episodes
until the record has every one of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sgps.errors import InputError, SgpsError
from sgps.evaluation import Interval, mean_interval
from sgps.evaluation.bases import META, PUBLIC
from sgps.evaluation.episode_table import EPISODE, SETTING
from sgps.evaluation.intervals import clustered_mean, mean_with_earlier
from sgps.evaluation.methods import SGPS
from sgps.evaluation.readme_table import between_marks
from sgps.files import write_all_whole

RECORD = Path(__file__).resolve().parent / "benchmark" / "iterative.csv"
FIGURES = "iterative_figures.csv"
START, END = "<!-- iterative:start -->", "<!-- iterative:end -->"
TASK = ["setting", "n_way", "k_shot"]
KEY = [*TASK, "seed", "resolution", EPISODE]
ONE_A_SETTING = {
    "data_digest": "images",
    "generator_sha256": "generators",
    "resolution": "resolutions",
    "seed": "seeds",
}
KINDS = {
    "head only": ("head_only",),
    "MAML or ANIL": ("maml", "anil"),
    "full fine-tuning": ("fine_tune_linear", "fine_tune_ridge"),
}
BASES = {PUBLIC: "public", META: "ours"}
COLUMNS = {
    f"{kind}, {of_whom}": [f"{base}/{method}" for method in methods]
    for base, of_whom in BASES.items()
    for kind, methods in KINDS.items()
}
METHODS = [method for methods in COLUMNS.values() for method in methods]


def read_rows(path: Path) -> pd.DataFrame:
    """Return the rows of a table by episode on which every iterative method ran."""
    try:
        rows = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}", expected="the episodes.csv of a suite") from error
    wanted = [*SETTING, EPISODE, SGPS, *METHODS]
    if missing := [name for name in wanted if name not in rows]:
        raise InputError(
            f"{path}: no column {missing[0]}",
            expected="the episodes.csv of a suite run with --baselines all",
        )
    return rows[wanted].dropna().reset_index(drop=True)


def merge(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all tables, by setting and episode; of two of one episode the later.

    Raises
    ------
    InputError: the rows of a setting are not of one data set, generator, resolution and seed.
    """
    merged = pd.concat(tables, ignore_index=True).drop_duplicates(KEY, keep="last")
    for name, what in ONE_A_SETTING.items():
        kinds = merged.groupby("setting")[name].nunique()
        if (kinds > 1).any():
            raise InputError(
                f"{kinds.idxmax()}: rows of {kinds.max()} different {what}",
                expected="one",
                remedy="run the benchmark on the same data with the same generator, resolution "
                "and seed, or begin a new record",
            )
    return merged.sort_values(KEY).reset_index(drop=True)


def read_figures(path: Path) -> pd.DataFrame:
    """Return episodes, mean and half_width by setting and figure; none where there is no file."""
    index, values = [*TASK, "figure"], ["episodes", "mean", "half_width"]
    if not path.exists():
        return pd.DataFrame(columns=[*index, *values]).set_index(index)
    try:
        return pd.read_csv(path)[[*index, *values]].set_index(index).sort_index()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: {error}", expected=f"the columns {', '.join([*index, *values])}"
        ) from error


def render(record: pd.DataFrame, figures: pd.DataFrame) -> str:
    """Return the table in Markdown: SGPS minus each method, in points, paired, at 95 %.

    Of two methods of a kind the one that is better in a setting is taken, which favours it. The
    last row is the mean of the settings, each weighed alike; settings on one data set go together,
    so its interval is over data sets (`clustered_mean`), and it needs two of them.
    """
    lines = [_line(["setting", "episodes", "SGPS", *COLUMNS]), "|" + "---|" * (3 + len(COLUMNS))]
    means, data_sets, counts = [], [], []
    data_set_of = record.groupby("setting")["data_digest"].first()
    rows_of = dict(iter(record.groupby(TASK)))
    for task in sorted({*rows_of, *figures.index.droplevel("figure")}):
        name, n_way, k_shot = task
        earlier = figures.loc[task] if task in figures.index else None
        first = 0 if earlier is None else int(earlier["episodes"].iloc[0])
        rows = rows_of.get(task, record[:0])
        if (rows[EPISODE] < first).sum() == first:
            earlier, first = None, 0
        rows = rows[rows[EPISODE] >= first]
        if first + len(rows) < 2:
            continue
        own, *gains = (
            _interval(values, None if earlier is None else earlier.loc[column])
            for column, values in _columns(rows).items()
        )
        means.append([gain.mean for gain in gains])
        data_sets.append(data_set_of.get(name, name))
        counts.append(first + len(rows))
        cells = [str(counts[-1]), _text(own).removeprefix("+"), *map(_text, gains)]
        lines.append(_line([f"{name}, {n_way}-way {k_shot}-shot", *cells]))
    if (different := len(set(data_sets))) > 1:
        cells = [_text(clustered_mean(column, data_sets)) for column in zip(*means, strict=True)]
        name = f"mean of the {len(means)}, on {different} data sets"
        lines.append(_line([name, str(sum(counts)), "", *cells]))
    return "\n".join(lines)


def _columns(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Accuracy of SGPS, and how far it is above each kind of method, in points by episode."""
    own = 100 * rows[SGPS]
    gains = {
        name: min((own - 100 * rows[method] for method in methods), key=np.mean)
        for name, methods in COLUMNS.items()
    }
    return {"SGPS": own, **gains}


def _interval(values: pd.Series, earlier: pd.Series | None) -> Interval:
    if earlier is None:
        return mean_interval(values)
    mean, half = earlier["mean"], earlier["half_width"]
    known = Interval(mean, mean - half, mean + half)
    return mean_with_earlier(values, known, int(earlier["episodes"])) if len(values) else known


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(interval: Interval) -> str:
    return f"{interval.mean:+.1f} ± {(interval.high - interval.low) / 2:.1f}"


def main(arguments: list[str] | None = None) -> int:
    """Print the table of the record; return 2 where a file does not fit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="episodes.csv of runs")
    parser.add_argument("--write", type=Path, help="Markdown file with marks for the table")
    options = parser.parse_args(arguments)
    try:
        before = [read_rows(options.record)] if options.record.exists() else []
        tables = before + [read_rows(path) for path in options.add]
        if not tables:
            raise InputError(f"no {options.record}", expected="a record, or --add")
        record = merge(tables)
        table = render(record, read_figures(options.record.with_name(FIGURES)))
        texts = {}
        if options.add:
            texts[options.record] = record.to_csv(index=False, lineterminator="\n")
        if options.write is not None:
            texts[options.write] = between_marks(options.write, table, START, END)
        write_all_whole(texts)
        print(table)
    except SgpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
