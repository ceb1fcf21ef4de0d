"""The outcome of one setting of a benchmark: figures with intervals, for programs and people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgps.evaluation.intervals import Interval, paired_difference
from sgps.evaluation.methods import SGPS
from sgps.evaluation.scores import MethodScores
from sgps.files import write_whole

_SHARES = ("accuracy", "balanced_accuracy", "auroc")


@dataclass(frozen=True)
class BenchmarkReport:
    """Settings, and the scores of each method on the same episodes."""

    settings: Mapping[str, Any]
    scores: Mapping[str, MethodScores]

    def methods(self) -> dict[str, dict[str, Interval]]:
        """Return method -> metric -> interval."""
        return {name: scores.intervals() for name, scores in self.scores.items()}

    def paired(self) -> dict[str, Interval]:
        """Return for each other method the accuracy of SGPS minus its own.

        Taken episode by episode, over the first episodes, which both ran.
        """
        if SGPS not in self.scores:
            return {}
        own = self.scores[SGPS].by_episode["accuracy"]
        return {
            name: paired_difference(
                own[: self._common_episodes(name)],
                scores.by_episode["accuracy"][: self._common_episodes(name)],
            )
            for name, scores in self.scores.items()
            if name != SGPS
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the settings and all figures, ready for JSON; what was not measured is absent.

        ``settings``; ``methods``: method -> metric -> mean, low, high; ``episodes_of``: method ->
        number of episodes; ``paired``: method -> difference, low, high, episodes; ``curves``:
        method -> coverage, accuracy, reliability; ``subgroups``: method -> attribute -> group ->
        mean, low, high, queries, images, groups (how many different images, and people or lesions,
        the queries show; reports made before lack both).
        """
        return {
            "settings": dict(self.settings),
            "methods": {
                name: {metric: interval._asdict() for metric, interval in figures.items()}
                for name, figures in self.methods().items()
            },
            "episodes_of": {name: scores.episodes for name, scores in self.scores.items()},
            "paired": {
                name: {
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "episodes": self._common_episodes(name),
                }
                for name, (mean, low, high) in self.paired().items()
            },
            "curves": {name: _curves(scores) for name, scores in self.scores.items()},
            "subgroups": {name: scores.subgroups for name, scores in self.scores.items()},
        }

    def _common_episodes(self, name: str) -> int:
        return min(self.scores[SGPS].episodes, self.scores[name].episodes)

    def save(self, path: Path) -> None:
        """Write the report as JSON, whole or not at all.

        Raises
        ------
        StoreError: the file cannot be written.
        """
        save_json(self.to_dict(), path)

    def to_text(self) -> str:
        """Return a table for people: shares in per cent, half widths of the 95 % intervals."""
        settings = self.settings
        head = (
            f"{settings['name']} ({settings['role']}): {settings['n_way']}-way "
            f"{settings['k_shot']}-shot, {settings['episodes']} episodes, "
            f"{settings['resolution']} px, seed {settings['seed']}"
        )
        columns = (
            "method",
            "episodes",
            "accuracy",
            "balanced",
            "AUROC",
            "ECE",
            "Brier",
            "seconds",
            "SGPS minus it",
        )
        rows = [
            columns,
            *(self._text_row(name, figures) for name, figures in self.methods().items()),
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([head, *lines])

    def _text_row(self, name: str, figures: Mapping[str, Interval]) -> tuple[str, ...]:
        shares = [_per_cent(figures[metric]) if metric in figures else "-" for metric in _SHARES]
        paired = self.paired().get(name)
        return (
            name,
            str(self.scores[name].episodes),
            *shares,
            f"{figures['ece'].mean:.3f}",
            f"{figures['brier'].mean:.3f}",
            f"{figures['seconds_per_synthesis'].mean:.3f}",
            "" if paired is None else _per_cent(paired, signed=True),
        )


def save_json(content: Mapping[str, Any], path: Path) -> None:
    """Write a report as JSON, whole or not at all.

    Raises
    ------
    StoreError: the file cannot be written.
    """
    write_whole(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def _curves(scores: MethodScores) -> dict[str, Any]:
    coverage, accuracy = scores.risk_coverage()
    bins = scores.pooled_bins()
    filled = bins.counts > 0
    counts = bins.counts[filled]
    return {
        "coverage": coverage.tolist(),
        "accuracy": accuracy.tolist(),
        "reliability": {
            "confidence": (bins.confidence_sums[filled] / counts).tolist(),
            "accuracy": (bins.hits[filled] / counts).tolist(),
            "counts": counts.astype(int).tolist(),
        },
    }


def _per_cent(interval: Interval, *, signed: bool = False) -> str:
    half = (interval.high - interval.low) / 2
    return f"{100 * interval.mean:{'+' if signed else ''}.1f} ± {100 * half:.1f}"
