"""The model card says what the generator's lineage and the table of licences say."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from scripts import load_script

from sgps.datasets import StoredDataset, ingest
from sgps.datasets.sources.phantom import PhantomSource
from sgps.synthesizer import GeneratorConfig
from sgps.synthesizer.checkpoint import GENERATOR_FORMAT
from sgps.synthesizer.generator_folder import GENERATOR_STEM
from sgps.synthesizer.sealed import read_sealed, write_sealed
from sgps.training import MetaTrainingConfig, MetaTrainingRun

REPOSITORY = Path(__file__).parents[1]
CLOSED = {
    "licence": "CC BY-NC 4.0", "spdx": "CC-BY-NC-4.0", "source": "a paper", "stated": True,
    "open": False,
}  # fmt: skip
OPEN = {**CLOSED, "licence": "CC BY-SA 4.0", "spdx": "CC-BY-SA-4.0", "open": True}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("make_model_card")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shards")
    for seed, (name, role) in enumerate({"moles": "meta_train", "judge": "novel_val"}.items()):
        source = PhantomSource(
            name, classes=3, images_per_class=4, size=32, seed=seed, roles={role: 1.0}
        )
        ingest(source, root)
    return root


@pytest.fixture(scope="module")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run on openly licensed data, as its lineage says."""
    folder = tmp_path_factory.mktemp("run")
    sizes = GeneratorConfig(
        architecture="test_efficientnet", resolution=32, initial_tap_weights=(0.5, 0.7, 1.0, 1.0),
        whitening_rank=16, text_rank=4,
    )  # fmt: skip
    config = MetaTrainingConfig(
        generator=sizes, pretrained=False, episodes=2, episodes_per_step=1, max_ways=3,
        max_shots=2, queries=1, splits=1, prior_images=2, validate_every=2, validation_episodes=1,
        seed=7, device="cpu",
    )  # fmt: skip
    datasets = [StoredDataset.open(shards / name) for name in ("judge", "moles")]
    provenance = {
        "code": {"git_commit": "0123456789abcdef", "git_changed": False},
        "licences": {"allowed": "open", "by_dataset": {"moles": "CC BY-SA 4.0"}},
    }
    MetaTrainingRun(config, datasets, None, folder, name="tiny", provenance=provenance).go_on()
    return folder


def reseal(folder: Path, **changes: object) -> None:
    """Give the generator other tensors, and other facts where asked."""
    content = read_sealed(folder, GENERATOR_STEM, file_format=GENERATOR_FORMAT)
    tensors = {name: tensor + 1 for name, tensor in content.tensors.items()}
    description = {**content.description, **changes}
    for name in ("format", "tensors_sha256", "seal"):
        description.pop(name, None)
    write_sealed(folder, GENERATOR_STEM, tensors, description, file_format=GENERATOR_FORMAT)


@pytest.fixture
def generator(run: Path, tmp_path: Path) -> Path:
    """The generator alone, as it would be shipped."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name in ("generator.json", "generator.safetensors"):
        shutil.copy(run / name, folder)
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "licences.yaml"
    path.write_text(yaml.safe_dump({"datasets": {"moles": OPEN, "judge": CLOSED}}))
    return path


def section(card: str, title: str) -> str:
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_card_holds_what_a_reader_needs(
    script: ModuleType, generator: Path, table: Path
) -> None:
    assert script.main([str(generator), "--licences", str(table)]) == 0
    card = (generator / "README.md").read_text()
    facts = json.loads((generator / "generator.json").read_text())
    lineage = facts["lineage"]
    for digest in (facts["tensors_sha256"], facts["base_sha256"], lineage["data_sha256"]):
        assert digest in card
    assert "Not for clinical use" in section(card, "Intended use")
    assert re.search(r"^10\. ", section(card, "Method"), re.MULTILINE)
    command = section(card, "How to reproduce")
    assert "sgps train --config tiny/training.yaml" in command
    assert "--licences open" in command
    assert "| seed | 7 |" in card
    assert "`0123456789ab`" in card
    assert "| moles |" in section(card, "Trained on")
    assert "| CC BY-SA 4.0 | a paper | yes | yes |" in section(card, "Trained on")
    assert "moles: share alike" in section(card, "Trained on")
    assert "| CC BY-NC 4.0 | a paper | yes | no |" in section(card, "Validated on")
    for setting, accuracy in lineage["validated_on"]["scores"].items():
        assert setting.startswith("judge/")
        assert f"{100 * accuracy:.1f}" in section(card, "Validation")
    assert "before training" not in card
    assert str(REPOSITORY) not in card
    assert str(generator.parent) not in card
    assert "{{" not in card
    assert not list(generator.glob(".*"))


def test_the_start_stands_beside_it(
    script: ModuleType, generator: Path, run: Path, table: Path, shards: Path
) -> None:
    options = ("--licences", str(table), "--run", str(run), "--root", str(shards))
    assert script.main([str(generator), *options]) == 0
    card = (generator / "README.md").read_text()
    assert "| dataset | 1-shot | before training | 2-shot | before training |" in card
    assert "| episodes | training loss | validation accuracy | validation loss |" in card
    assert "| moles |  | 12 | CC BY-SA 4.0 |" in section(card, "Trained on")


def test_settings_are_written_where_they_are_missing(
    script: ModuleType, generator: Path, table: Path
) -> None:
    assert script.main([str(generator), "--licences", str(table)]) == 0
    written = yaml.safe_load((generator / "training.yaml").read_text())["train"]
    recorded = json.loads((generator / "generator.json").read_text())["lineage"]["config"]
    assert written["seed"] == 7
    assert "device" not in written
    config = MetaTrainingConfig.model_validate({**written, "device": "cpu"})
    assert config.record() == recorded


def test_other_settings_than_the_lineage_are_refused(
    script: ModuleType, generator: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (generator / "training.yaml").write_text("train: {seed: 8}\n")
    assert script.main([str(generator), "--licences", str(table)]) == 2
    assert "seed 8 for 7" in capsys.readouterr().err
    assert not (generator / "README.md").exists()


def test_closed_and_unknown_licences_make_it_non_commercial(
    script: ModuleType, generator: Path, tmp_path: Path
) -> None:
    table = tmp_path / "other.yaml"
    table.write_text(yaml.safe_dump({"datasets": {}}))
    output = tmp_path / "card.md"
    assert script.main([str(generator), "--licences", str(table), "--output", str(output)]) == 0
    trained = section(output.read_text(), "Trained on")
    assert "**research, non-commercial**" in trained
    assert "| unknown |  | no | no |" in trained
    assert not (generator / "README.md").exists()


@pytest.mark.parametrize("wrong", ["altered", "untrained", "missing"])
def test_what_makes_no_card_is_one_line(
    wrong: str,
    script: ModuleType,
    generator: Path,
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if wrong == "altered":
        path = generator / "generator.json"
        path.write_text(path.read_text().replace('"seed": 7', '"seed": 8'))
    elif wrong == "untrained":
        reseal(generator, lineage={})
    folder = tmp_path if wrong == "missing" else generator
    output = tmp_path / "card.md"
    assert script.main([str(folder), "--licences", str(table), "--output", str(output)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not output.exists()


def test_the_run_has_to_be_that_of_the_generator(
    script: ModuleType,
    generator: Path,
    run: Path,
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = (str(generator), "--licences", str(table), "--run")
    assert script.main([*options, str(tmp_path)]) == 2
    assert "no state of a training" in capsys.readouterr().err
    reseal(generator)
    assert script.main([*options, str(run)]) == 2
    assert "the run of another generator" in capsys.readouterr().err


def test_the_table_of_licences_covers_every_shipped_generator() -> None:
    known = yaml.safe_load((REPOSITORY / "data" / "licences.yaml").read_text())["datasets"]
    for path in (REPOSITORY / "sgps" / "synthesizer" / "generators").glob("*/generator.json"):
        assert set(json.loads(path.read_text())["lineage"]["datasets"]) <= set(known)
