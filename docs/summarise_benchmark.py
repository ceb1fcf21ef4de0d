"""Averages over the settings of a benchmark suite, as results.md tells them.

    python docs/summarise_benchmark.py docs/benchmark/benchmark.json.gz

The file is the benchmark.json that ``sgps benchmark --suite --out`` writes, gzipped or not. Printed
are: against how many settings' best baselines SGPS stands above, even and below; its calibration
by number of images; and, of a suite run with --corruptions, accuracy on altered queries.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sgps.errors import InputError, SgpsError
from sgps.evaluation import bars
from sgps.evaluation.corruptions import CLEAN
from sgps.evaluation.methods import SGPS

WHOSE = {"public": "public weights", "meta": "our body", None: "either"}


def read_suite(path: Path) -> dict[str, Any]:
    """Return the report of a suite.

    Raises
    ------
    InputError: the file cannot be read, or is none.
    """
    try:
        content = path.read_bytes()
        suite = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
        if not suite["settings"]:
            raise ValueError("no setting")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: {error}", expected="the benchmark.json of a suite") from error
    return dict(suite)


def standing_table(settings: Sequence[bars.Setting]) -> Iterator[list[str]]:
    """Against the best baseline of a base: settings in which SGPS is above, even and below."""
    yield ["best baseline on", "above", "even", "below", "by, at least and at most"]
    for base, whose in WHOSE.items():
        best = [(setting, bars.best_baseline(setting, base=base)) for setting in settings]
        found = [bars.difference_to(setting, name) for setting, name in best if name is not None]
        differences = [each for each in found if each is not None]
        above = sum(each.low > 0 for each in differences)
        below = sum(each.high < 0 for each in differences)
        means = [100 * each.mean for each in differences]
        ends = f"{min(means):+.1f}, {max(means):+.1f}" if means else "–"
        yield [whose, str(above), str(len(means) - above - below), str(below), ends]


def calibration_table(settings: Sequence[bars.Setting]) -> Iterator[list[str]]:
    """Calibration error and Brier score of SGPS, and the baseline of the least mean error."""
    yield ["images a class", "mean error", "largest", "Brier score", "best baseline, mean error"]
    for shots in sorted({setting["settings"]["k_shot"] for setting in settings}):
        chosen = [each for each in settings if each["settings"]["k_shot"] == shots]
        errors = _values(chosen, SGPS, "ece")
        brier = np.mean(_values(chosen, SGPS, "brier"))
        means = {name: _mean(chosen, name, "ece") for name in _baselines(chosen)}
        best = min(means, key=means.__getitem__, default=None)
        told = "–" if best is None else f"{bars.full_label(best)} {means[best]:.3f}"
        yield [str(shots), f"{np.mean(errors):.3f}", f"{max(errors):.3f}", f"{brier:.3f}", told]


def corruption_table(settings: Sequence[bars.Setting]) -> Iterator[list[str]]:
    """Accuracy on altered queries, mean of the settings that have them, and who is ahead where.

    Ahead is a method whose interval lies above that of the other; the best baseline of a setting
    is picked after the fact.
    """
    metrics = bars.corruption_metrics(settings[0])
    yield ["queries", "SGPS", "best on the public weights", "best on our body",
           "SGPS loses", "most that a baseline loses", "settings behind, ahead"]  # fmt: skip
    clean = {name: _mean(settings, name, metrics[CLEAN]) for name in (SGPS, *_baselines(settings))}
    for name, metric in metrics.items():
        means = {method: _mean(settings, method, metric) for method in clean}
        lost = {method: clean[method] - mean for method, mean in means.items()}
        rivals = [method for method in means if method != SGPS]
        best = [
            max((each for each in rivals if bars.base_of(each) == base), key=means.__getitem__)
            for base in bars.BASES
        ]
        yield [
            bars.in_words(name),
            f"{100 * means[SGPS]:.1f}",
            *(f"{bars.method_label(each)} {100 * means[each]:.1f}" for each in best),
            f"{100 * lost[SGPS]:.1f}",
            f"{100 * max(lost[each] for each in rivals):.1f}",
            "{}, {}".format(*_apart(settings, metric)),
        ]


def _apart(settings: Sequence[bars.Setting], metric: str) -> tuple[int, int]:
    """In how many settings the best baseline is clear of SGPS, and SGPS of the best baseline."""
    behind = ahead = 0
    for setting in settings:
        own = setting["methods"][SGPS][metric]
        rivals = [setting["methods"][name][metric] for name in _baselines([setting])]
        best = max(rivals, key=lambda figure: float(figure["mean"]))
        behind += best["low"] > own["high"]
        ahead += best["high"] < own["low"]
    return behind, ahead


def _baselines(settings: Iterable[bars.Setting]) -> list[str]:
    """The baselines that ran in every one of the settings, on all of its episodes."""
    of_each = [
        {
            name
            for name in setting["methods"]
            if bars.is_baseline(name)
            and setting["episodes_of"][name] == setting["episodes_of"][SGPS]
        }
        for setting in settings
    ]
    return sorted(set.intersection(*of_each))


def _values(settings: Iterable[bars.Setting], name: str, metric: str) -> list[float]:
    return [float(setting["methods"][name][metric]["mean"]) for setting in settings]


def _mean(settings: Iterable[bars.Setting], name: str, metric: str) -> float:
    return float(np.mean(_values(settings, name, metric)))


def render(suite: Mapping[str, Any]) -> str:
    """Return the tables in Markdown."""
    settings = suite["settings"]
    tables = [standing_table(settings), calibration_table(settings)]
    if altered := [setting for setting in settings if bars.corruption_metrics(setting)]:
        tables.append(corruption_table(altered))
    return "\n\n".join(_markdown(list(table)) for table in tables)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; return 2 where the file is no report of a suite."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path, help="benchmark.json of a suite, or .json.gz")
    try:
        print(render(read_suite(parser.parse_args(arguments).report)))
    except SgpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
