"""``sgps train --licences open``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from cli_outcome import Sgps

from sgps.datasets import ingest
from sgps.datasets.sources.phantom import PhantomSource

ENTRY = {"licence": "MIT", "spdx": "MIT", "source": "drawn", "stated": True, "open": True}
SETTINGS = {
    "pretrained": False, "episodes": 1, "max_ways": 3, "max_shots": 2, "queries": 1, "splits": 1,
    "prior_images": 2, "validation_episodes": 1,
    "generator": {
        "architecture": "test_efficientnet", "initial_tap_weights": [0.5, 0.7, 1.0, 1.0],
        "resolution": 32, "whitening_rank": 16, "text_rank": 4, "code_width": 4, "task_width": 16,
        "depth": 1,
    },
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    for seed, (name, role) in enumerate(
        {"free": "meta_train", "mystery": "meta_train", "judge": "novel_val"}.items()
    ):
        ingest(
            PhantomSource(
                name, classes=3, images_per_class=4, size=48, seed=seed, roles={role: 1.0}
            ),
            folder,
        )
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "licences.yaml"
    path.write_text(yaml.safe_dump({"datasets": {"free": ENTRY}}))
    return path


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({"train": SETTINGS}))
    return path


def test_open_licences_only(
    sgps: Sgps, root: Path, table: Path, params: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = sgps(
        "train", "--root", root, "--out", out, "--config", params, "--licences", "open",
        "--licence-table", table, "--no-texts", "--no-tracking", "--json",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    assert "licence unknown: mystery" in done.stderr
    assert json.loads(done.stdout)["episodes_done"] == 1
    lineage = json.loads((out / "generator.json").read_text())["lineage"]
    assert lineage["trained_on"] == ["free"]
    assert lineage["licences"]["allowed"] == "open"


def test_wrong_licences_and_tables_are_named(
    sgps: Sgps, root: Path, table: Path, tmp_path: Path
) -> None:
    options = ("train", "--root", root, "--out", tmp_path / "run")
    assert sgps(*options, "--licences", "some").code == 2
    asked = (*options, "--licences", "open", "--licence-table")
    sgps(*asked, tmp_path / "nosuch.yaml").assert_one_line_error("nosuch.yaml")
    sgps(*asked, table, "--dataset", "mystery").assert_one_line_error("meta_train", "open licence")
    assert not (tmp_path / "run").exists()
