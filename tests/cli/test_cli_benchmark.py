"""``sgps benchmark`` and ``sgps train`` on drawn lesions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from cli_outcome import Sgps

from sgps.datasets import StoredDataset

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


def test_report_has_the_contracted_form(sgps: Sgps, manifest: Path, tmp_path: Path) -> None:
    report, picture = tmp_path / "out" / "report.json", tmp_path / "out" / "report.png"
    done = sgps(
        "benchmark", "--manifest", manifest, "--role", "novel_test", "--n-way", "3", "--k-shot",
        "1", "--n-query", "3", "--episodes", "4", "--json", report, "--plot", picture,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    content = json.loads(report.read_text())
    assert set(content) == {"settings", "methods", "paired"}
    assert content["settings"]["command"].startswith("sgps benchmark --manifest ")
    assert {"sgps", "nearest_centroid"} <= set(content["methods"])
    for metrics in content["methods"].values():
        assert set(metrics["accuracy"]) >= INTERVAL
    assert set(content["paired"]["nearest_centroid"]) == {"difference", "low", "high"}
    assert set(content["paired"]) == set(content["methods"]) - {"sgps"}
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "nearest_centroid" in done.stdout
    assert "±" in done.stdout


def test_too_many_ways_and_an_unknown_role(sgps: Sgps, manifest: Path) -> None:
    sgps("benchmark", "--manifest", manifest, "--n-way", "5").assert_one_line_error("3", "5")
    sgps("benchmark", "--manifest", manifest, "--role", "none").assert_one_line_error("none")


def test_training_from_a_parameter_file(sgps: Sgps, phantom_root: Path, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    settings = {
        "pretrained": True, "episodes_per_step": 2, "max_ways": 3, "max_shots": 2, "queries": 2,
        "validate_every": 2, "validation_episodes": 2, "checkpoint_every": 2,
        "validation_roles": ["novel_val"], "generator": {"resolution": 32},
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
