"""``sgps refit``: a new head for the body of a generator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_outcome import Sgps

from sgps.cli.application import run
from sgps.datasets import ingest
from sgps.datasets.sources.phantom import PhantomSource

SETTINGS: dict[str, Any] = {
    "episodes": 1, "max_ways": 3, "max_shots": 2, "queries": 1, "splits": 1, "prior_images": 3,
    "validation_episodes": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset to train on, one to choose by, and one that comes later."""
    folder = tmp_path_factory.mktemp("shards")
    for seed, (name, role) in enumerate((("warm", "meta_train"), ("judge", "novel_val"))):
        source = PhantomSource(
            name, classes=3, images_per_class=5, size=48, seed=seed, roles={role: 1.0}
        )
        ingest(source, folder)
    return folder


def write_settings(folder: Path, generator: dict[str, Any], **changes: object) -> Path:
    path = folder / "params.yaml"
    sizes = {"resolution": 32, **generator}
    path.write_text(yaml.safe_dump({"train": {**SETTINGS, **changes, "generator": sizes}}))
    return path


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    config = write_settings(folder, {"centre_widths": []})
    arguments = ["train", "--root", root, "--out", folder / "run", "--config", config,
                 "--name", "one", "--no-texts", "--no-tracking", "--json"]  # fmt: skip
    assert run([str(argument) for argument in arguments]) == 0
    return folder / "run"


def test_a_new_head_on_the_same_body(sgps: Sgps, trained: Path, root: Path, tmp_path: Path) -> None:
    ingest(PhantomSource("later", classes=3, images_per_class=5, size=48, seed=9), root)
    before = {path.name: path.read_bytes() for path in trained.glob("generator.*")}
    config = write_settings(tmp_path, {"centre_widths": [0.4]})
    out = tmp_path / "refitted"
    done = sgps("refit", trained, "--config", config, "--root", root, "--no-texts",
                "--device", "cpu", "--out", out, "--json")  # fmt: skip
    assert done.code == 0, done
    receipt = json.loads(done.stdout)
    written = json.loads((out / "generator.json").read_text())
    earlier = json.loads(before["generator.json"])
    assert receipt["generator_sha256"] == written["tensors_sha256"] != earlier["tensors_sha256"]
    assert receipt["known_classes"] == 3
    assert written["name"] == "one"
    assert written["config"]["centre_widths"] == [0.4]
    assert written["lineage"]["body_of"] == earlier["tensors_sha256"]
    assert set(written["lineage"]["refit"]) == {"git_commit", "git_changed"}
    assert sorted(written["lineage"]["datasets"]) == ["judge", "warm"]
    assert {path.name: path.read_bytes() for path in trained.glob("generator.*")} == before


def test_other_settings_of_the_training(
    sgps: Sgps, trained: Path, root: Path, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, {}, max_ways=2, seed=5)
    refused = sgps("refit", trained, "--config", config, "--root", root, "--no-texts",
                   "--out", tmp_path / "refitted")  # fmt: skip
    refused.assert_one_line_error("other settings: max_ways, seed")
    assert not (tmp_path / "refitted").exists()


def test_a_dataset_that_is_missing(sgps: Sgps, trained: Path, tmp_path: Path) -> None:
    config = write_settings(tmp_path, {})
    ingest(PhantomSource("warm", classes=3, images_per_class=5, size=48), tmp_path / "part")
    refused = sgps("refit", trained, "--config", config, "--root", tmp_path / "part",
                   "--no-texts", "--out", tmp_path / "refitted")  # fmt: skip
    refused.assert_one_line_error("missing or others: judge")
    assert not (tmp_path / "refitted").exists()


def test_no_such_generator(sgps: Sgps, root: Path, tmp_path: Path) -> None:
    refused = sgps("refit", "nosuch", "--root", root, "--out", tmp_path / "refitted")
    refused.assert_one_line_error("there is no generator 'nosuch'")
