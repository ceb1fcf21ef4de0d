"""A generator takes the classes that it knows along when it is promoted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from sgps.datasets import StoredDataset
from sgps.errors import InputError, IntegrityError, UnknownNameError
from sgps.service._content import GeneratorDigests
from sgps.service.promotion import current_folder, decide_and_promote
from sgps.service.training import add_known_classes
from sgps.settings import Settings
from sgps.synthesizer import GeneratorConfig, Hypernetwork, Synthesizer
from sgps.synthesizer.checkpoint import save_generator
from sgps.synthesizer.known_classes import KnownClasses
from sgps.training import MetaTrainingConfig

FILES = ["known_classes.json", "known_classes.safetensors"]
BETTER = {"difference": 0.02, "low": 0.01, "high": 0.03}


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", generator=str(tmp_path / "none"))


@pytest.fixture
def candidate(untrained_generator: Path, tmp_path: Path) -> Path:
    """A generator that knows two classes."""
    folder = tmp_path / "candidate"
    shutil.copytree(untrained_generator, folder)
    synthesizer = Synthesizer.load(folder, device="cpu")
    width = synthesizer.hypernetwork.generator.head_priors.basis_RD.shape[1]
    made_for = synthesizer.generator_sha256
    means_CD = torch.randn(2, width, generator=torch.Generator().manual_seed(0))
    KnownClasses(("drawn: a", "drawn: b"), means_CD, made_for).save(folder)
    return folder


def known_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("known_classes*"))}


def test_a_promoted_generator_knows_what_it_knew(candidate: Path, own: Settings) -> None:
    assert decide_and_promote(candidate, None, own, {"flow": "test"}).promoted
    promoted = current_folder(own)
    assert list(known_files(promoted)) == FILES
    assert known_files(promoted) == known_files(candidate)
    known = Synthesizer.load(promoted, device="cpu").known_classes
    assert known is not None
    assert known.names == ("drawn: a", "drawn: b")
    record = json.loads((promoted / "promotion.json").read_text())
    assert record["known_classes_sha256"] == known.sha256


def test_one_that_knows_none_leaves_none_of_the_one_before(
    candidate: Path, untrained_generator: Path, own: Settings
) -> None:
    decide_and_promote(candidate, None, own, {"flow": "test"})
    assert decide_and_promote(untrained_generator, BETTER, own, {"flow": "test"}).promoted
    assert known_files(current_folder(own)) == {}
    record = json.loads((current_folder(own) / "promotion.json").read_text())
    assert record["known_classes_sha256"] is None
    assert Synthesizer.load(current_folder(own), device="cpu").known_classes is None


def test_what_a_generator_knows_decides_what_a_request_is_answered_with(
    candidate: Path, untrained_generator: Path, tmp_path: Path
) -> None:
    """So a request that was answered before the classes were written is answered anew."""
    digests = []
    for folder in (untrained_generator, candidate):
        found = GeneratorDigests.of_settings(Settings(home=tmp_path, generator=str(folder)))
        assert found == GeneratorDigests.of_loaded(Synthesizer.load(folder, device="cpu"))
        digests.append(found)
    without, with_classes = digests
    assert without.tensors == with_classes.tensors
    assert without.known_classes is None
    assert with_classes.known_classes is not None


@pytest.mark.parametrize("damage", ["altered", "of another generator"])
def test_damaged_known_classes_are_not_promoted(
    candidate: Path, own: Settings, damage: str
) -> None:
    if damage == "altered":
        path = candidate / "known_classes.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    else:
        KnownClasses(("drawn: a",), torch.zeros(1, 8), "ab" * 32).save(candidate)
    with pytest.raises(IntegrityError, match=r"known.classes"):
        decide_and_promote(candidate, None, own, {"flow": "test"})
    assert not current_folder(own).exists()


@pytest.fixture
def trained_elsewhere(phantom_root: Path, tmp_path: Path) -> Path:
    """A generator whose lineage names a dataset beside the phantoms as trained on."""
    config = GeneratorConfig(resolution=32)
    lineage = {
        "config": MetaTrainingConfig(generator=config, max_shots=1).record(),
        "datasets": {"phantom": StoredDataset.open(phantom_root / "phantom").digest, "far": "0"},
        "trained_on": ["phantom", "far"],
    }
    save_generator(
        Hypernetwork.create(config), tmp_path / "g", name="g", text_encoder="minilm",
        lineage=lineage,
    )  # fmt: skip
    return tmp_path / "g"


def test_known_classes_are_added_from_the_datasets_of_the_training_alone(
    trained_elsewhere: Path, phantom_root: Path, own: Settings
) -> None:
    with pytest.raises(InputError, match="datasets of the training are not here: far;"):
        add_known_classes(trained_elsewhere, phantom_root, own)
    assert known_files(trained_elsewhere) == {}


def test_there_has_to_be_a_generator_and_a_dataset(
    candidate: Path, phantom_root: Path, tmp_path: Path, own: Settings
) -> None:
    with pytest.raises(UnknownNameError, match="there is no generator 'nosuch'"):
        add_known_classes("nosuch", phantom_root, own)
    with pytest.raises(UnknownNameError, match="no dataset in"):
        add_known_classes(candidate, tmp_path / "nosuch", own)
