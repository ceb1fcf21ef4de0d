from __future__ import annotations

import pytest
import torch

from sgps.datasets.descriptions import ClassDescription, DescriptionLibrary
from sgps.datasets.ingest import ingest
from sgps.datasets.sources.phantom import PhantomSource
from sgps.datasets.storage import StoredDataset
from sgps.encoders.text import load_text_encoder
from sgps.synthesizer import GeneratorConfig, Hypernetwork
from sgps.training import MetaTrainingConfig
from sgps.training.image_bank import ImageBank


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


@pytest.fixture(scope="session")
def descriptions(phantoms: StoredDataset) -> DescriptionLibrary:
    """Every drawn kind but one is described."""
    labels = sorted(set(phantoms.frame["label"]))[1:]
    texts = {label: ClassDescription(f"a lesion of kind {label}", "drawn") for label in labels}
    return DescriptionLibrary({phantoms.name: texts})


GENERATOR = GeneratorConfig(
    architecture="test_efficientnet",  # timm's smallest: 5 blocks, of which 3 and the last are taps
    resolution=32,
    initial_tap_weights=(0.5, 0.7, 1.0, 1.0),
    whitening_rank=16,
    text_rank=8,
    code_width=4,
    task_width=16,
    depth=1,
)


@pytest.fixture(scope="session")
def hypernetwork() -> Hypernetwork:
    """Without task codes, on random base weights; every delta is moved, no prior is fitted."""
    torch.manual_seed(0)
    hypernetwork = Hypernetwork.create(GENERATOR, pretrained=False)
    with torch.no_grad():
        for delta in hypernetwork.generator.deltas:
            delta.add_(torch.randn(delta.shape) * 0.02)
    return hypernetwork


@pytest.fixture(scope="session")
def bank(phantoms: StoredDataset, descriptions: DescriptionLibrary) -> ImageBank:
    """The drawn lesions of the roles of training and validation, and their texts."""
    return ImageBank.read(
        [phantoms],
        roles=("meta_train", "novel_val"),
        resolution=GENERATOR.resolution,
        descriptions=descriptions,
        text_encoder=load_text_encoder("minilm"),
    )


@pytest.fixture
def config() -> MetaTrainingConfig:
    return MetaTrainingConfig(
        generator=GENERATOR,
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
