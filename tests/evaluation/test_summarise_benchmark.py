"""The averages of docs/summarise_benchmark.py, from the figures of a drawn suite."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from example_suite import build_suite
from scripts import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("summarise_benchmark")


@pytest.fixture
def suite() -> dict[str, Any]:
    return build_suite()


def figures(suite: dict[str, Any], name: str, metric: str, shots: int = 0) -> list[float]:
    return [
        each["methods"][name][metric]["mean"]
        for each in suite["settings"]
        if metric in each["methods"][name] and shots in (0, each["settings"]["k_shot"])
    ]


def average(values: list[float]) -> float:
    return sum(values) / len(values)


def test_settings_are_counted_by_their_best_baseline(
    script: ModuleType, suite: dict[str, Any]
) -> None:
    _, public, ours, either = script.standing_table(suite["settings"])
    paired = [each["paired"] for each in suite["settings"]]
    for row, bases in ((public, ("public",)), (ours, ("meta",)), (either, ("public", "meta"))):
        best = [
            min(
                (gain["difference"], gain["low"], gain["high"])
                for name, gain in gains.items()
                if name.split("/")[0] in bases
            )
            for gains in paired
        ]
        above = sum(low > 0 for _, low, _ in best)
        below = sum(high < 0 for _, _, high in best)
        assert row[1:4] == [str(above), str(len(best) - above - below), str(below)]
        assert row[4] == f"{100 * min(best)[0]:+.1f}, {100 * max(best)[0]:+.1f}"
    assert either[1:4] == ["4", "1", "1"]


def test_calibration_is_averaged_by_number_of_images(
    script: ModuleType, suite: dict[str, Any]
) -> None:
    _, *rows = script.calibration_table(suite["settings"])
    assert [row[0] for row in rows] == ["1", "5"]
    for shots, mean, largest, brier, best in rows:
        errors = figures(suite, "sgps", "ece", int(shots))
        assert mean == f"{average(errors):.3f}"
        assert largest == f"{max(errors):.3f}"
        assert brier == f"{average(figures(suite, 'sgps', 'brier', int(shots))):.3f}"
        of_baselines = [
            average(figures(suite, name, "ece", int(shots)))
            for name in suite["settings"][0]["methods"]
            if not name.startswith("sgps") and "fine_tuning" not in name
            if all(name in each["methods"] for each in suite["settings"])
        ]
        assert best.endswith(f" {min(of_baselines):.3f}")


def test_corruptions_are_of_the_settings_that_have_them(
    script: ModuleType, suite: dict[str, Any]
) -> None:
    altered = [each for each in suite["settings"] if script.bars.corruption_metrics(each)]
    assert 0 < len(altered) < len(suite["settings"])
    _, clean, *rows = script.corruption_table(altered)
    assert clean[0] == "clean"
    assert {row[0] for row in rows} == {"blur", "noise", "JPEG", "brightness"}
    noise = next(row for row in rows if row[0] == "noise")
    assert noise[1] == f"{100 * average(figures(suite, 'sgps', 'accuracy:noise')):.1f}"
    assert float(noise[4]) == pytest.approx(float(clean[1]) - float(noise[1]), abs=0.11)
    metric = "accuracy:noise"
    behind = ahead = 0
    for each in altered:
        own = each["methods"]["sgps"][metric]
        best = max(
            (
                figure[metric]
                for name, figure in each["methods"].items()
                if not name.startswith("sgps") and "fine_tuning" not in name
            ),
            key=lambda figure: figure["mean"],
        )
        behind += best["low"] > own["high"]
        ahead += own["low"] > best["high"]
    assert noise[6] == f"{behind}, {ahead}"


@pytest.mark.parametrize("packed", [False, True])
def test_a_report_is_read_packed_or_not(
    script: ModuleType,
    suite: dict[str, Any],
    packed: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = json.dumps(suite).encode()
    path = tmp_path / ("benchmark.json.gz" if packed else "benchmark.json")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert script.main([str(path)]) == 0
    assert capsys.readouterr().out == script.render(suite) + "\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none.json", None),
        ("text.json", b"no json"),
        ("list.json", b"[]"),
        ("empty.json", b'{"settings": []}'),
        ("plain.json.gz", b"{}"),
        ("cut.json.gz", gzip.compress(b"{}")[:-9]),
    ],
)
def test_what_is_no_report_is_named(
    script: ModuleType,
    name: str,
    content: bytes | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert script.main([str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert name in error
    assert "expected the benchmark.json of a suite" in error
