"""The outcome of a speed measurement: ratios, their bars, and the seconds behind them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MEGABYTE = 1e6

MOST_PASSES = 1.3
LEAST_SPEED_UP = 30.0
MOST_PEAK_BYTES = 1.5e9
MOST_PREDICTION = 1.03
MOST_COMPACT_BYTES = 500_000
MOST_ONNX_DIFFERENCE = 1e-4

_RATIOS = (
    ("synthesis", "forward_passes"),
    ("synthesis", "folded_passes"),
    ("fine_tuning", "synthesis"),
    ("prediction", "plain_prediction"),
    ("prediction", "folded_prediction"),
)


@dataclass(frozen=True)
class SpeedBar:
    """One figure beside the bar it has to meet; ``met`` is None where it was not measured."""

    name: str
    value: str
    bar: str
    met: bool | None


@dataclass(frozen=True)
class SpeedReport:
    """What :func:`sgps.evaluation.speed.measure_speed` found.

    Attributes
    ----------
    settings: what was measured, where and how.
    seconds: by name one value a repeat: ``synthesis``, ``forward_passes`` (those that a synthesis
        needs), ``folded_passes`` (the same, normalisations folded), ``fine_tuning`` (of 100 steps),
        ``prediction``, ``plain_prediction`` and ``folded_prediction`` (of the same images).
    processor_seconds: the same, of the process alone: what other work on the machine leaves alone.
    peak_bytes: peak memory of a process that makes one synthesis.
    compact_bytes, compact_equal: of the compact form; None where the classifier has no codes.
    onnx_difference: largest difference of a logit; None where the ``onnx`` extra is missing.
    """

    settings: Mapping[str, Any]
    seconds: Mapping[str, tuple[float, ...]]
    processor_seconds: Mapping[str, tuple[float, ...]]
    peak_bytes: int
    compact_bytes: int | None
    compact_equal: bool | None
    onnx_difference: float | None

    @property
    def judged_by_processor(self) -> bool:
        """Whether bars are judged by processor seconds: on a CPU; on a GPU those say nothing."""
        return str(self.settings["device"]).startswith("cpu")

    def ratio(self, first: str, second: str, *, processor: bool | None = None) -> float:
        """Median over the repeats of the seconds of ``first`` to those of ``second``.

        ``processor``: of processor seconds, else of those on the wall; by default as judged.
        """
        by_processor = self.judged_by_processor if processor is None else processor
        clock = self.processor_seconds if by_processor else self.seconds
        return statistics.median(
            one / other for one, other in zip(clock[first], clock[second], strict=True)
        )

    def ratios(self, *, processor: bool) -> dict[str, float]:
        """Return every ratio by one of the two clocks."""
        return {
            f"{first}_to_{second}": self.ratio(first, second, processor=processor)
            for first, second in _RATIOS
        }

    def bars(self) -> tuple[SpeedBar, ...]:
        """Return each promise with what was measured."""
        passes = self.ratio("synthesis", "forward_passes")
        speed_up = self.ratio("fine_tuning", "synthesis")
        prediction = self.ratio("prediction", "plain_prediction")
        return (
            SpeedBar(
                "synthesis / its forward passes",
                f"{passes:.2f}",
                f"<= {MOST_PASSES}",
                passes <= MOST_PASSES,
            ),
            SpeedBar(
                "100 steps of fine-tuning / synthesis",
                f"{speed_up:.1f}",
                f">= {LEAST_SPEED_UP:.0f}",
                speed_up >= LEAST_SPEED_UP,
            ),
            SpeedBar(
                "peak memory of a synthesis, MB",
                f"{self.peak_bytes / MEGABYTE:.0f}",
                f"<= {MOST_PEAK_BYTES / MEGABYTE:.0f}",
                self.peak_bytes <= MOST_PEAK_BYTES,
            ),
            SpeedBar(
                "prediction / plain timm",
                f"{prediction:.3f}",
                f"<= {MOST_PREDICTION}",
                prediction <= MOST_PREDICTION,
            ),
            SpeedBar(
                "compact form, kB",
                "-" if self.compact_bytes is None else f"{self.compact_bytes / 1000:.0f}",
                f"<= {MOST_COMPACT_BYTES / 1000:.0f}",
                None if self.compact_bytes is None else self.compact_bytes <= MOST_COMPACT_BYTES,
            ),
            SpeedBar(
                "compact form gives the same weights and logits",
                {None: "-", True: "yes", False: "no"}[self.compact_equal],
                "yes",
                self.compact_equal,
            ),
            SpeedBar(
                "ONNX logits, largest difference to torch",
                "-" if self.onnx_difference is None else f"{self.onnx_difference:.1e}",
                f"<= {MOST_ONNX_DIFFERENCE:.0e}",
                None
                if self.onnx_difference is None
                else self.onnx_difference <= MOST_ONNX_DIFFERENCE,
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return settings, seconds, ratios, sizes and bars, ready for JSON."""
        return {
            "settings": dict(self.settings),
            "seconds": {name: list(values) for name, values in self.seconds.items()},
            "processor_seconds": {
                name: list(values) for name, values in self.processor_seconds.items()
            },
            "ratios": self.ratios(processor=False),
            "processor_ratios": self.ratios(processor=True),
            "judged_by": "processor_seconds" if self.judged_by_processor else "seconds",
            "peak_bytes": self.peak_bytes,
            "compact_bytes": self.compact_bytes,
            "compact_equal": self.compact_equal,
            "onnx_difference": self.onnx_difference,
            "bars": [
                {"name": bar.name, "value": bar.value, "bar": bar.bar, "met": bar.met}
                for bar in self.bars()
            ],
        }

    def to_text(self) -> str:
        """Return the bars and median milliseconds as tables for people."""
        settings = self.settings
        head = (
            f"{settings['generator']}, {settings['architecture']}: {settings['n_way']}-way "
            f"{settings['k_shot']}-shot, {settings['resolution']} px, {settings['device']}, "
            f"{settings['threads']} threads, load {settings['load_before']} to "
            f"{settings['load_after']}; medians of {settings['repeats']} interleaved repeats, "
            f"ratios of {'processor' if self.judged_by_processor else 'wall'} time"
        )
        verdicts = {True: "met", False: "missed", None: "not measured"}
        bars = [(bar.name, bar.value, bar.bar, verdicts[bar.met]) for bar in self.bars()]
        folded = self.ratio("prediction", "folded_prediction")
        folded_passes = self.ratio("synthesis", "folded_passes")
        times = [
            (
                name.replace("_", " "),
                _milliseconds(self.processor_seconds[name]),
                _milliseconds(wall),
            )
            for name, wall in self.seconds.items()
        ]
        return "\n".join(
            [
                head,
                *_table([("", "measured", "bar", ""), *bars]),
                f"synthesis / its forward passes with folded normalisations: {folded_passes:.2f}",
                f"prediction / timm with folded normalisations: {folded:.3f}",
                f"fine-tuning: {settings['fine_tuning']}; passes over the support: "
                f"{settings['passes']:g}",
                *_table([("", "processor", "wall"), *times]),
            ]
        )


def _milliseconds(seconds: Sequence[float]) -> str:
    return f"{1000 * statistics.median(seconds):.1f} ms"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
