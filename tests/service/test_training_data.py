"""Which datasets a training on open licences uses, and what the generator says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from sgps.datasets import ingest
from sgps.datasets.sources.phantom import PhantomSource
from sgps.errors import InputError
from sgps.service.training import TrainingRequest, restrict_to_licences, train_generator
from sgps.settings import Settings
from sgps.synthesizer import GeneratorConfig
from sgps.training import MetaTrainingConfig

ROLES = {
    "free": "meta_train", "research": "meta_train", "mystery": "meta_train",
    "judge": "novel_val", "final": "novel_test",
}  # fmt: skip
CONFIG = MetaTrainingConfig(
    generator=GeneratorConfig(
        architecture="test_efficientnet", resolution=32, initial_tap_weights=(0.5, 0.7, 1.0, 1.0),
        whitening_rank=16, text_rank=4, code_width=4, task_width=16, depth=1,
    ),
    pretrained=False, text_encoder="minilm", episodes=1, episodes_per_step=1, max_ways=3,
    max_shots=2, queries=1, splits=1, prior_images=2, validation_episodes=1, device="cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for seed, (name, role) in enumerate(ROLES.items()):
        ingest(
            PhantomSource(
                name, classes=3, images_per_class=4, size=32, seed=seed, roles={role: 1.0}
            ),
            folder,
        )
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "licences.yaml"
    entry = {"licence": "MIT", "spdx": "MIT", "source": "s", "stated": True, "open": True}
    closed = {**entry, "licence": "CC BY-NC 4.0", "spdx": "CC-BY-NC-4.0", "open": False}
    path.write_text(
        yaml.safe_dump({"datasets": {"free": entry, "research": closed, "judge": closed}})
    )
    return path


@pytest.fixture
def request_open(root: Path, table: Path, tmp_path: Path) -> TrainingRequest:
    return TrainingRequest(
        folder=tmp_path / "run", root=root, tracking=False, licences="open", licence_table=table,
        config=CONFIG,
    )  # fmt: skip


def test_only_open_datasets_are_trained_on(request_open: TrainingRequest) -> None:
    restricted, notices = restrict_to_licences(request_open)
    assert restricted.datasets == ("final", "free", "judge")
    closed, unknown = notices
    assert "research (CC BY-NC 4.0)" in closed
    assert "mystery" not in closed
    assert "mystery" in unknown
    assert restrict_to_licences(restricted) == (restricted, ())


def test_the_order_asked_for_is_kept(request_open: TrainingRequest) -> None:
    asked = request_open.model_copy(update={"datasets": ("judge", "research", "free")})
    assert restrict_to_licences(asked)[0].datasets == ("judge", "free")


def test_without_a_restriction_nothing_is_opened(tmp_path: Path) -> None:
    request = TrainingRequest(folder=tmp_path, root=tmp_path / "nosuch")
    assert restrict_to_licences(request) == (request, ())


def test_something_has_to_be_left(request_open: TrainingRequest) -> None:
    asked = request_open.model_copy(update={"datasets": ("research", "mystery", "judge")})
    with pytest.raises(InputError, match="no dataset with images of role meta_train"):
        restrict_to_licences(asked)


def test_open_licences_need_a_table(
    request_open: TrainingRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no table of licences"):
        restrict_to_licences(request_open.model_copy(update={"licence_table": None}))


def lineage(request: TrainingRequest) -> dict[str, object]:
    train_generator(request, Settings())
    content: dict[str, dict[str, object]] = json.loads(
        (request.folder / "generator.json").read_text()
    )
    return content["lineage"]


def test_the_lineage_names_every_licence(request_open: TrainingRequest) -> None:
    found = lineage(request_open)
    assert found["trained_on"] == ["free"]
    assert found["licences"] == {
        "allowed": "open",
        "by_dataset": {"free": "MIT", "judge": "CC BY-NC 4.0"},
    }
    assert set(found["datasets"]) == {"final", "free", "judge"}
    assert set(found["code"]) == {"git_commit", "git_changed"}


def test_the_lineage_of_a_training_on_all(request_open: TrainingRequest) -> None:
    found = lineage(request_open.model_copy(update={"licences": "all"}))
    assert found["trained_on"] == ["free", "mystery", "research"]
    assert found["licences"] == {
        "allowed": "all",
        "by_dataset": {
            "free": "MIT", "judge": "CC BY-NC 4.0", "mystery": "unknown",
            "research": "CC BY-NC 4.0",
        },
    }  # fmt: skip


def test_licences_change_no_number(
    request_open: TrainingRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    everything = request_open.model_copy(update={"licences": "all"})
    bare = everything.model_copy(update={"licence_table": None, "folder": tmp_path / "bare"})
    with_table = train_generator(everything, Settings())
    without = train_generator(bare, Settings())
    assert with_table.generator_sha256 == without.generator_sha256
    assert "licences" not in json.loads((bare.folder / "generator.json").read_text())["lineage"]
