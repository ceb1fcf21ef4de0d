"""``sgps train`` and ``sgps known-classes`` leave beside a generator the classes that it knows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from cli_outcome import Sgps

from sgps.cli.application import run
from sgps.datasets import ingest
from sgps.datasets.sources.phantom import PhantomSource
from sgps.synthesizer import GeneratorConfig, Hypernetwork, Synthesizer
from sgps.synthesizer.checkpoint import save_generator
from sgps.synthesizer.known_classes import KnownClasses

SETTINGS = {
    "episodes": 1, "max_ways": 3, "max_shots": 2, "queries": 1, "splits": 1, "prior_images": 3,
    "validation_episodes": 1, "generator": {"resolution": 32},
}  # fmt: skip
FILES = ("known_classes.json", "known_classes.safetensors")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets to train on, of four and of three classes, and one to choose by."""
    folder = tmp_path_factory.mktemp("shards")
    shapes = {"warm": (4, "meta_train"), "cold": (3, "meta_train"), "judge": (3, "novel_val")}
    for seed, (name, (classes, role)) in enumerate(shapes.items()):
        source = PhantomSource(
            name, classes=classes, images_per_class=5, size=48, seed=seed, roles={role: 1.0}
        )
        ingest(source, folder)
    return folder


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``sgps train`` left."""
    folder = tmp_path_factory.mktemp("trained")
    config = folder / "params.yaml"
    config.write_text(yaml.safe_dump({"train": SETTINGS}))
    arguments = ["train", "--root", root, "--out", folder / "run", "--config", config,
                 "--no-texts", "--no-tracking", "--json"]  # fmt: skip
    assert run([str(argument) for argument in arguments]) == 0
    return folder / "run"


@pytest.fixture
def bare(trained: Path, tmp_path: Path) -> Path:
    """The generator as one that was trained before there were known classes."""
    for name in ("generator.json", "generator.safetensors"):
        shutil.copyfile(trained / name, tmp_path / name)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("known_classes*"))}


def test_a_training_ends_with_them(trained: Path, root: Path) -> None:
    assert tuple(contents(trained)) == FILES
    known = Synthesizer.load(trained, device="cpu").known_classes
    assert known is not None
    described = {
        f"{name}: {label}"
        for name in ("warm", "cold")
        for label in PhantomSource(name, classes=4 if name == "warm" else 3).classes
    }
    assert set(known.names) == described
    assert len(known.names) == 4 + 3
    assert known.means_CD.isfinite().all()


def test_a_generator_trained_before_gets_the_same(
    sgps: Sgps, trained: Path, bare: Path, root: Path
) -> None:
    done = sgps("known-classes", bare, "--root", root, "--json")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout) == {"generator": str(bare), "known_classes": 4 + 3}
    assert "known classes: 2 of 2" in done.stderr
    assert contents(bare) == contents(trained)


def test_what_is_there_already_stays(sgps: Sgps, bare: Path, root: Path) -> None:
    sha256 = Synthesizer.load(bare, device="cpu").generator_sha256
    KnownClasses(("elsewhere: naevus",), torch.ones(1, 8), sha256).save(bare)
    before = contents(bare)
    again = sgps("known-classes", bare, "--root", root)
    assert again.code == 0, again.stderr
    assert {tuple(line.split()) for line in again.stdout.splitlines()} >= {("known_classes", "1")}
    assert contents(bare) == before


def test_a_generator_that_writes_a_body_a_task_knows_none(
    sgps: Sgps, root: Path, tmp_path: Path
) -> None:
    hypernetwork = Hypernetwork.create(GeneratorConfig(resolution=32, task_codes=True))
    save_generator(hypernetwork, tmp_path, name="codes", text_encoder="minilm", lineage={})
    done = sgps("known-classes", tmp_path, "--root", root, "--json")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["known_classes"] == 0
    assert not contents(tmp_path)


def test_an_unknown_generator(sgps: Sgps, root: Path) -> None:
    sgps("known-classes", "nosuch", "--root", root).assert_one_line_error(
        "there is no generator 'nosuch'", "default"
    )


def test_datasets_of_the_training_are_missed_and_nothing_is_written(
    sgps: Sgps, bare: Path, root: Path, tmp_path: Path
) -> None:
    part = tmp_path / "part"
    for name in ("judge", "warm"):
        shutil.copytree(root / name, part / name)
    refused = sgps("known-classes", bare, "--root", part)
    refused.assert_one_line_error("datasets of the training are not here: cold", "--root")
    assert not contents(bare)


def test_other_images_under_the_name_of_a_dataset_are_refused(
    sgps: Sgps, bare: Path, root: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(root / "warm", changed / "warm")
    other = PhantomSource("cold", classes=3, images_per_class=5, size=48, seed=9)
    ingest(other, changed)
    refused = sgps("known-classes", bare, "--root", changed)
    refused.assert_one_line_error("not those of the training: cold")
    assert not contents(bare)
