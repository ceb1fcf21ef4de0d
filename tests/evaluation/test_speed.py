"""What a speed measurement holds; no time has a bound here."""

from __future__ import annotations

import json
import statistics

import pytest
import torch

from sgps.evaluation.speed import measure_speed
from sgps.evaluation.speed_report import SpeedReport
from sgps.synthesizer import GeneratorConfig, Hypernetwork, Synthesizer

BARS = (
    "synthesis / its forward passes",
    "100 steps of fine-tuning / synthesis",
    "peak memory of a synthesis, MB",
    "prediction / plain timm",
    "compact form, kB",
    "compact form gives the same weights and logits",
    "ONNX logits, largest difference to torch",
)


@pytest.fixture(scope="module")
def measured() -> tuple[SpeedReport, list[tuple[str, int, int]]]:
    torch.manual_seed(0)
    network = Hypernetwork.create(GeneratorConfig(resolution=32), pretrained=False)
    calls: list[tuple[str, int, int]] = []
    report = measure_speed(
        Synthesizer(network, name="tiny", device="cpu"),
        seed=3,
        repeats=2,
        progress=lambda *call: calls.append(call),
    )
    return report, calls


SECONDS = {
    "synthesis": (1.2, 2.4, 1.0),
    "forward_passes": (1.0, 2.0, 1.0),
    "folded_passes": (0.8, 2.0, 0.5),
    "fine_tuning": (36.0, 96.0, 30.0),
    "prediction": (1.0, 1.0, 1.0),
    "plain_prediction": (1.0, 1.25, 2.0),
    "folded_prediction": (1.0, 1.0, 1.0),
}


def report_of(**changes: object) -> SpeedReport:
    values: dict[str, object] = {
        "settings": {
            "generator": "g", "architecture": "a", "n_way": 5, "k_shot": 5, "resolution": 128,
            "device": "cpu", "threads": 1, "load_before": 0.1, "load_after": 0.2, "repeats": 3,
            "fine_tuning": "8 images a step", "passes": 2.0,
        },
        "seconds": dict.fromkeys(SECONDS, (9.0,)),
        "processor_seconds": SECONDS,
        "peak_bytes": 900_000_000,
        "compact_bytes": 88_000,
        "compact_equal": True,
        "onnx_difference": 2e-6,
        **changes,
    }  # fmt: skip
    return SpeedReport(**values)  # type: ignore[arg-type]


def test_a_ratio_is_the_median_of_the_ratios_within_a_repeat() -> None:
    report = report_of()
    assert report.ratio("synthesis", "forward_passes") == pytest.approx(1.2)
    assert report.ratio("synthesis", "folded_passes") == pytest.approx(1.5)
    assert report.ratio("fine_tuning", "synthesis") == pytest.approx(30)
    assert report.ratio("prediction", "plain_prediction") == pytest.approx(0.8)


def test_a_gpu_is_judged_by_the_wall() -> None:
    settings = {**report_of().settings, "device": "cuda:0"}
    report = report_of(settings=settings, seconds=SECONDS, processor_seconds=report_of().seconds)
    assert report.ratio("synthesis", "forward_passes") == pytest.approx(1.2)
    assert report.ratio("synthesis", "forward_passes", processor=True) == 1
    assert "ratios of wall time" in report.to_text()
    assert report.to_dict()["judged_by"] == "seconds"


def test_bars_are_met_or_missed_or_not_measured() -> None:
    assert [bar.name for bar in report_of().bars()] == list(BARS)
    assert all(bar.met for bar in report_of().bars())
    missed = report_of(
        peak_bytes=1_600_000_000, compact_bytes=500_001, compact_equal=False, onnx_difference=2e-4
    )
    assert [bar.met for bar in missed.bars()] == [True, True, False, True, False, False, False]
    unknown = report_of(compact_bytes=None, compact_equal=None, onnx_difference=None)
    assert [bar.met for bar in unknown.bars()] == [True] * 4 + [None] * 3
    assert "not measured" in unknown.to_text()


def test_a_measurement_is_whole(
    measured: tuple[SpeedReport, list[tuple[str, int, int]]],
) -> None:
    report, calls = measured
    assert calls == [("speed", 1, 2), ("speed", 2, 2)]
    assert set(report.seconds) == {
        "synthesis", "forward_passes", "folded_passes", "fine_tuning",
        "prediction", "plain_prediction", "folded_prediction",
    }  # fmt: skip
    assert set(report.processor_seconds) == set(report.seconds)
    for clock in (report.seconds, report.processor_seconds):
        assert all(len(values) == 2 for values in clock.values())
    assert report.settings["generator"] == "tiny"
    assert report.settings["seed"] == 3
    assert report.settings["resolution"] == 32
    views = GeneratorConfig().support_views
    assert sum(report.settings["support_batches"]) == views * 25
    assert report.settings["passes"] == views
    assert 50e6 < report.peak_bytes < 4e9
    assert report.compact_equal is True
    assert report.compact_bytes is not None
    assert report.onnx_difference is not None
    assert report.onnx_difference <= 1e-4


def test_it_reads_the_same_for_machines_and_people(
    measured: tuple[SpeedReport, list[tuple[str, int, int]]],
) -> None:
    report, _ = measured
    facts = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert [bar["name"] for bar in facts["bars"]] == list(BARS)
    assert facts["seconds"]["synthesis"] == list(report.seconds["synthesis"])
    assert facts["judged_by"] == "processor_seconds"
    expected = report.ratio("synthesis", "forward_passes")
    assert facts["processor_ratios"]["synthesis_to_forward_passes"] == expected
    text = report.to_text()
    assert all(name in text for name in BARS)
    assert f"{1000 * statistics.median(report.seconds['synthesis']):.1f} ms" in text
    assert "scaled to 100" in text
