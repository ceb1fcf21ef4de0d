"""The outcome of a benchmark: figures with intervals, for machines and for people."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sgps.errors import StoreError
from sgps.evaluation.intervals import (
    Interval,
    join_bins,
    mean_interval,
    paired_difference,
    pooled_calibration_error,
)
from sgps.evaluation.methods import SGPS
from sgps.evaluation.metrics import CalibrationBins, Floats

_SHARES = ("accuracy", "balanced_accuracy", "auroc")


@dataclass(frozen=True)
class MethodScores:
    """One method on all episodes.

    Attributes
    ----------
    by_episode: metric -> one value an episode (E,); NaN where the metric has none in an episode.
    calibration: the episodes' predictions by confidence.
    """

    by_episode: Mapping[str, Floats]
    calibration: Sequence[CalibrationBins]

    def intervals(self) -> dict[str, Interval]:
        """Return each metric's mean over the episodes; `ece` is pooled over all queries."""
        known = {name: values[~np.isnan(values)] for name, values in self.by_episode.items()}
        figures = {name: mean_interval(values) for name, values in known.items() if len(values) > 1}
        return {**figures, "ece": pooled_calibration_error(self.calibration)}

    def pooled_bins(self) -> CalibrationBins:
        """Return the bins (15,) of all queries of all episodes."""
        joined = join_bins(self.calibration)
        return CalibrationBins(
            joined.counts.sum(0), joined.confidence_sums.sum(0), joined.hits.sum(0)
        )


@dataclass(frozen=True)
class BenchmarkReport:
    """Settings, and the scores of each method on the same episodes."""

    settings: Mapping[str, Any]
    scores: Mapping[str, MethodScores]

    def methods(self) -> dict[str, dict[str, Interval]]:
        """Return method -> metric -> interval."""
        return {name: scores.intervals() for name, scores in self.scores.items()}

    def paired(self) -> dict[str, Interval]:
        """Return for each other method the accuracy of SGPS minus its own, episode by episode."""
        if SGPS not in self.scores:
            return {}
        own = self.scores[SGPS].by_episode["accuracy"]
        return {
            name: paired_difference(own, scores.by_episode["accuracy"])
            for name, scores in self.scores.items()
            if name != SGPS
        }

    def to_dict(self) -> dict[str, Any]:
        """Return ``settings``, ``methods`` and ``paired``, ready for JSON."""
        return {
            "settings": dict(self.settings),
            "methods": {
                name: {metric: interval._asdict() for metric, interval in figures.items()}
                for name, figures in self.methods().items()
            },
            "paired": {
                name: {"difference": mean, "low": low, "high": high}
                for name, (mean, low, high) in self.paired().items()
            },
        }

    def save(self, path: Path) -> None:
        """Write the report as JSON, whole or not at all.

        Raises
        ------
        StoreError: the file cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=path.parent, delete=False, encoding="utf-8"
            ) as file:
                file.write(text)
            try:
                Path(file.name).replace(path)
            finally:
                Path(file.name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"report {path} cannot be written: {error.strerror or error}",
                expected="a file in a writable folder",
                remedy="choose another path",
            ) from error

    def to_text(self) -> str:
        """Return a table for people: shares in per cent, half widths of the 95 % intervals."""
        settings = self.settings
        head = (
            f"{settings['dataset']} {settings['role']}: {settings['n_way']}-way "
            f"{settings['k_shot']}-shot, {settings['episodes']} episodes, "
            f"{settings['resolution']} px, seed {settings['seed']}"
        )
        columns = (
            "method",
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
            *shares,
            f"{figures['ece'].mean:.3f}",
            f"{figures['brier'].mean:.3f}",
            f"{figures['seconds_per_synthesis'].mean:.3f}",
            "" if paired is None else _per_cent(paired, signed=True),
        )


def _per_cent(interval: Interval, *, signed: bool = False) -> str:
    half = (interval.high - interval.low) / 2
    return f"{100 * interval.mean:{'+' if signed else ''}.1f} ± {100 * half:.1f}"
