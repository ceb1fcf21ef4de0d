"""``sgps ingest`` and ``sgps validate``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from cli_outcome import Sgps

from sgps.datasets import StoredDataset


def test_phantoms_are_ingested_and_pass(sgps: Sgps, tmp_path: Path) -> None:
    root = tmp_path / "shards"
    made = sgps(
        "ingest", "drawn", "--source", "phantom", "--root", root, "--option", "images_per_class=12",
        "--option", "size=48", "--option", "classes=6", "--option", "novel_test=2", "--json",
    )  # fmt: skip
    assert made.code == 0, made.stderr
    facts = json.loads(made.stdout)
    assert facts["digest"] == StoredDataset.open(root / "drawn").digest
    assert facts["images"] == 12 * facts["classes"]

    report = tmp_path / "report.html"
    verdict = sgps("validate", "--all", "--root", root, "--report", report, "--json")
    assert verdict.code == 0, verdict.stderr
    assert json.loads(verdict.stdout)["digests"] == {"drawn": facts["digest"]}
    assert report.read_text(encoding="utf-8").lower().startswith("<!doctype html")
    table = sgps("validate", "drawn", "--root", root, "--report", report)
    assert table.stdout.splitlines()[0].split() == ["check", "outcome", "observed"]


def test_options_come_from_a_parameter_file(sgps: Sgps, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("ingest: {options: {images_per_class: 2, size: 48, classes: 3}}\n")
    made = sgps(
        "ingest", "drawn", "--source", "phantom", "--root", tmp_path, "--params", params, "--json"
    )
    assert json.loads(made.stdout)["images"] == 6


def test_a_leaking_dataset_is_refused(sgps: Sgps, lesions: Path, tmp_path: Path) -> None:
    shutil.copy(lesions / "angioma" / "0.png", lesions / "melanoma" / "copy.png")
    root = tmp_path / "shards"
    made = sgps("ingest", "leak", "--source", "folder", "--location", lesions, "--root", root)
    assert made.code == 0, made.stderr
    report = tmp_path / "report.html"
    verdict = sgps("validate", "leak", "--root", root, "--report", report, "--json")
    verdict.assert_one_line_error(str(report))
    assert json.loads(verdict.stdout)["passed"] is False
    assert "copy.png" in report.read_text(encoding="utf-8")


def test_names_or_all(sgps: Sgps, tmp_path: Path) -> None:
    sgps("validate", "--root", tmp_path).assert_one_line_error("--all")
    sgps("validate", "x", "--all", "--root", tmp_path).assert_one_line_error("--all")


def test_a_dataset_is_not_overwritten_unasked(sgps: Sgps, phantom_root: Path) -> None:
    before = StoredDataset.open(phantom_root / "phantom").digest
    again = sgps("ingest", "phantom", "--source", "phantom", "--root", phantom_root)
    again.assert_one_line_error("exists")
    assert StoredDataset.open(phantom_root / "phantom").digest == before


def test_wrong_options_are_named(sgps: Sgps, tmp_path: Path) -> None:
    ingest = ("ingest", "x", "--root", tmp_path, "--source")
    sgps(*ingest, "telepathy").assert_one_line_error("telepathy")
    sgps(*ingest, "phantom", "--option", "colour").assert_one_line_error("KEY=VALUE")
    sgps(*ingest, "phantom", "--option", "colour=3").assert_one_line_error("colour")
    sgps(*ingest, "folder", "--location", tmp_path / "nosuch").assert_one_line_error("nosuch")
    assert list(tmp_path.glob("**/dataset.json")) == []
