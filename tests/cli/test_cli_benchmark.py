"""``sgps benchmark`` and ``sgps train`` on drawn lesions."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from cli_outcome import Sgps

from sgps.datasets import StoredDataset
from sgps.evaluation.banked_synthesis import PARTS

INTERVAL = {"mean", "low", "high"}


@pytest.fixture
def manifest(phantom_root: Path, tmp_path: Path) -> Path:
    """The dataset's images of role novel_test as files with a manifest."""
    dataset = StoredDataset.open(phantom_root / "phantom")
    frame = dataset.frame[dataset.frame["role"] == "novel_test"]
    for row, file in frame["file"].items():
        path = tmp_path / "drawn" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dataset.png_bytes(int(row)))
    path = tmp_path / "drawn" / "manifest.csv"
    frame[["file", "label", "group", "role"]].to_csv(path, index=False)
    return path


FEW = ("--n-way", "3", "--k-shot", "1", "--n-query", "3", "--episodes", "4")


@pytest.fixture
def suite(manifest: Path, tmp_path: Path) -> Path:
    """A suite of the drawn lesions: two settings, both with too many shots the second time."""
    setting = {"manifest": "drawn/manifest.csv", "n_way": 3}
    content = {
        "name": "drawn", "resolution": 64, "shots": [1, 8], "episodes": 5, "n_query": 2,
        "corruption_episodes": 2,
        "settings": [{"name": "all", **setting}, {"name": "pairs", **setting, "n_way": 2}],
    }  # fmt: skip
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_report_has_the_contracted_form(sgps: Sgps, manifest: Path, tmp_path: Path) -> None:
    report, picture = tmp_path / "out" / "report.json", tmp_path / "out" / "report.png"
    done = sgps("benchmark", "--manifest", manifest, *FEW, "--json", report, "--plot", picture)
    assert done.code == 0, done.stderr
    content = json.loads(report.read_text())
    assert content["settings"]["command"].startswith("sgps benchmark --manifest ")
    assert set(content["settings"]) >= {"commit", "data_digest", "seed"}
    assert {"sgps", "public/nearest_centroid", "meta/ridge_taps"} <= set(content["methods"])
    for metrics in content["methods"].values():
        assert set(metrics["accuracy"]) >= INTERVAL
    assert set(content["paired"]["public/nearest_centroid"]) == {
        "difference", "low", "high", "episodes",
    }  # fmt: skip
    assert set(content["paired"]) == set(content["methods"]) - {"sgps"}
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "public/nearest_centroid" in done.stdout
    assert "±" in done.stdout


def test_a_manifest_without_baselines_but_with_corruptions(
    sgps: Sgps, manifest: Path, tmp_path: Path
) -> None:
    report, cache = tmp_path / "report.json", tmp_path / "cache.sqlite"
    options = ("--manifest", manifest, *FEW, "--baselines", "none", "--corruptions")
    figures = []
    for _ in range(2):
        done = sgps("benchmark", *options, "--json", report, "--cache", cache)
        assert done.code == 0, done.stderr
        figures.append(json.loads(report.read_text())["methods"])
    assert set(figures[0]) == {"sgps"}
    assert set(figures[0]["sgps"]) >= {"accuracy:blur", "accuracy:noise", "accuracy:jpeg"}
    assert figures[0] == figures[1]


def test_a_suite_is_measured_and_goes_on_where_it_stopped(
    sgps: Sgps, suite: Path, tmp_path: Path
) -> None:
    options = ("benchmark", "--suite", suite, "--data", tmp_path, "--baselines", "none")
    first = sgps(*options, "--settings", "all", "--out", tmp_path / "out")
    assert first.code == 0, first.stderr
    assert "all (novel_test): 3-way 1-shot" in first.stdout
    assert "all: 3-way 8-shot skipped: " in first.stdout
    assert "pairs" not in first.stdout
    done = sgps(*options, "--out", tmp_path / "out")
    assert done.code == 0, done.stderr
    content = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert content["suite"]["command"].startswith("sgps benchmark --suite ")
    compared = {"sgps", *(part.name for part in PARTS)}
    assert all(set(setting["methods"]) == compared for setting in content["settings"])
    assert content["suite"]["predictions_from_cache"] == 5 * len(compared)
    assert {"commit", "seed", "started", "finished", "versions"} <= set(content["suite"])
    measured = [setting["settings"] for setting in content["settings"]]
    assert [(setting["name"], setting["n_way"]) for setting in measured] == [
        ("all", 3), ("pairs", 2),
    ]  # fmt: skip
    assert {setting["manifest"] for setting in measured} == {"drawn/manifest.csv"}
    assert len(content["skipped"]) == 2
    page = (tmp_path / "out" / "benchmark.html").read_text()
    assert "sgps benchmark --suite" in page
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"benchmark.json", "benchmark.html", "episodes.csv", "episodes.sqlite"}
    by_episode = pd.read_csv(tmp_path / "out" / "episodes.csv")
    for setting in content["settings"]:
        chosen = by_episode[by_episode["setting"] == setting["settings"]["name"]]
        for method, figures in setting["methods"].items():
            assert chosen[method].mean() == pytest.approx(figures["accuracy"]["mean"], rel=1e-5)


def test_a_part_of_a_suite_needs_no_folder_for_the_report(
    sgps: Sgps, suite: Path, tmp_path: Path
) -> None:
    done = sgps(
        "benchmark", "--suite", suite, "--data", tmp_path, "--baselines", "none", "--settings",
        "all,pairs", "--shots", "2,1", "--episodes", "2", "--corruptions",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    heads = [line for line in done.stdout.splitlines() if "-shot" in line]
    assert [line.split(",")[0] for line in heads] == [
        "all (novel_test): 3-way 2-shot", "all (novel_test): 3-way 1-shot",
        "pairs (novel_test): 2-way 2-shot", "pairs (novel_test): 2-way 1-shot",
    ]  # fmt: skip
    assert all("2 episodes, 64 px" in line for line in heads)


def test_the_rest_of_a_suite_without_the_parts(sgps: Sgps, suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = sgps(
        "benchmark", "--suite", suite, "--data", tmp_path, "--baselines", "none", "--settings",
        "all", "--shots", "1", "--episodes", "5", "--first-episode", "2", "--no-parts",
        "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    content = json.loads((out / "benchmark.json").read_text())
    assert content["suite"]["parts"] is False
    assert list(content["settings"][0]["methods"]) == ["sgps"]
    assert (out / "benchmark.html").is_file()
    assert pd.read_csv(out / "episodes.csv")["episode"].to_list() == [2, 3, 4]


def test_a_damaged_cache_is_named(sgps: Sgps, suite: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "episodes.sqlite").write_text("no database " * 200)
    options = ("--data", tmp_path, "--out", tmp_path / "out", "--baselines", "none")
    done = sgps("benchmark", "--suite", suite, *options)
    done.assert_one_line_error("episodes.sqlite", "delete it or choose another path")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ("--manifest", "--suite")),
        (("--manifest", "m.csv", "--suite", "s.yaml"), ("both", "one of the two")),
        (("--manifest", "m.csv", "--shots", "1"), ("--shots with --manifest",)),
        (("--manifest", "m.csv", "--no-parts"), ("--parts with --manifest",)),
        (("--suite", "s.yaml", "--n-way", "3"), ("--n-way with --suite",)),
        (("--suite", "s.yaml"), ("--data",)),
        (("--suite", "nosuch.yaml", "--data", "."), ("nosuch.yaml",)),
        (("--suite", "s.yaml", "--data", ".", "--shots", "one"), ("--shots 'one'", "1,5")),
        (("--manifest", "m.csv", "--baselines", "some"), ("some", "fast")),
    ],
)
def test_options_that_do_not_go_together(
    sgps: Sgps, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    sgps("benchmark", *options).assert_one_line_error(*words)


def test_an_unknown_setting_and_a_wrong_data_folder(
    sgps: Sgps, suite: Path, tmp_path: Path
) -> None:
    options = ("benchmark", "--suite", suite, "--data")
    sgps(*options, tmp_path, "--settings", "trios").assert_one_line_error("trios", "all, pairs")
    sgps(*options, tmp_path / "nosuch").assert_one_line_error("nosuch")
    (tmp_path / "empty").mkdir()
    empty = sgps(*options, tmp_path / "empty", "--baselines", "none")
    empty.assert_one_line_error("manifest.csv")


def test_too_many_ways_and_an_unknown_role(sgps: Sgps, manifest: Path) -> None:
    options = ("benchmark", "--manifest", manifest, "--baselines", "none")
    sgps(*options, "--n-way", "5").assert_one_line_error("3", "5")
    sgps(*options, "--role", "none").assert_one_line_error("none")


def test_training_from_a_parameter_file(sgps: Sgps, phantom_root: Path, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    generator = {
        "architecture": "test_efficientnet", "resolution": 32, "whitening_rank": 16,
        "text_rank": 8, "initial_tap_weights": [0.5, 0.7, 1.0, 1.0],
    }  # fmt: skip
    settings = {
        "pretrained": False, "episodes_per_step": 2, "max_ways": 3, "max_shots": 2, "queries": 2,
        "validate_every": 2, "validation_episodes": 2, "checkpoint_every": 2,
        "validation_roles": ["novel_val"], "generator": generator,
    }  # fmt: skip
    params.write_text(yaml.safe_dump({"train": settings}))
    out = tmp_path / "run"
    options = ("--root", phantom_root, "--out", out, "--config", params, "--episodes", "2")
    done = sgps("train", *options, "--seed", "3", "--json")
    assert done.code == 0, done.stderr
    receipt = json.loads(done.stdout)
    assert receipt["episodes_done"] == 2
    assert receipt["run_id"]
    assert (out / "generator.safetensors").is_file()
    again = json.loads(sgps("train", *options, "--seed", "3", "--json").stdout)
    assert (again["episodes_done"], again["run_id"]) == (2, receipt["run_id"])


def test_training_settings_are_checked(sgps: Sgps, phantom_root: Path, tmp_path: Path) -> None:
    options = ("train", "--root", phantom_root, "--out", tmp_path / "run")
    params = tmp_path / "params.yaml"
    params.write_text("train: {colour: blue}\n")
    sgps(*options, "--config", params).assert_one_line_error("colour")
    sgps(*options, "--config", tmp_path / "nosuch.yaml").assert_one_line_error("nosuch.yaml")
    sgps(*options, "--dataset", "nosuch").assert_one_line_error("nosuch")
    assert not (tmp_path / "run").exists()
