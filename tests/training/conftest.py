from __future__ import annotations

from pathlib import Path

import pytest

from sgps.datasets.descriptions import DescriptionLibrary
from sgps.datasets.ingest import ingest
from sgps.datasets.sources.phantom import PhantomSource
from sgps.datasets.storage import StoredDataset
from sgps.synthesizer import GeneratorConfig
from sgps.training import MetaTrainingConfig


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> StoredDataset:
    root = tmp_path_factory.mktemp("shards")
    return ingest(make_source(), root)


def make_source() -> PhantomSource:
    return PhantomSource(
        classes=8,
        images_per_class=10,
        size=48,
        roles={"meta_train": 1.0},
        novel_val=3,
        novel_test=2,
    )


@pytest.fixture
def descriptions(tmp_path: Path) -> DescriptionLibrary:
    folder = tmp_path / "descriptions"
    folder.mkdir()
    return DescriptionLibrary.load(folder)


@pytest.fixture
def config() -> MetaTrainingConfig:
    return MetaTrainingConfig(
        generator=GeneratorConfig(resolution=32, code_width=4, task_width=16, depth=1),
        pretrained=False,
        episodes=8,
        max_ways=3,
        max_shots=2,
        queries=1,
        validate_every=4,
        validation_episodes=1,
        checkpoint_every=2,
        warmup_steps=1,
        device="cpu",
    )
