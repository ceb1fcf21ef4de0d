"""Flows validate_data and build_episodes: what is refused stops everything after it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import flows.meta_train
from flows.build_episodes import BuildEpisodesRequest, build_episodes
from flows.meta_train import MetaTrainingRequest, meta_train
from flows.validate_data import ValidationRequest, validate_data
from sgps.datasets import StoredDataset, ingest, open_source
from sgps.episodes import EpisodeIndex
from sgps.errors import DatasetRefusedError, UnknownNameError
from sgps.service.benchmarking import EpisodeRequest
from sgps.service.datasets import SourceRequest
from sgps.service.training import TrainingRequest

pytestmark = pytest.mark.usefixtures("prefect_server", "home")


@pytest.fixture
def leaking_root(phantom_root: Path, tmp_path: Path) -> Path:
    """A dataset with one lesion in two classes."""
    dataset = StoredDataset.open(phantom_root / "phantom")
    folder = tmp_path / "leaking"
    for kind in ("angioma", "melanoma"):
        rows = dataset.frame.index[dataset.frame["label"] == kind][:3]
        (folder / kind).mkdir(parents=True)
        for number, row in enumerate(rows):
            (folder / kind / f"{number}.png").write_bytes(dataset.png_bytes(int(row)))
    shutil.copy(folder / "angioma" / "0.png", folder / "melanoma" / "copy.png")
    ingest(open_source("folder", str(folder)), tmp_path / "shards")
    return tmp_path / "shards"


def test_a_source_becomes_a_validated_dataset(tmp_path: Path) -> None:
    options = {"images_per_class": 12, "size": 48, "classes": 4}
    request = ValidationRequest(
        root=tmp_path / "shards",
        sources=(SourceRequest(name="drawn", kind="phantom", options=options),),
        report=tmp_path / "report.html",
    )
    outcome = validate_data(request)
    digest = StoredDataset.open(tmp_path / "shards" / "drawn").digest
    assert outcome["datasets"] == {"drawn": digest}
    assert (tmp_path / "report.html").is_file()
    assert validate_data(request) == outcome


def test_an_unknown_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="nosuch"):
        validate_data(ValidationRequest(root=tmp_path, datasets=("nosuch",)))


def test_refusal_stops_what_comes_after(
    leaking_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("trained on a refused dataset")

    monkeypatch.setattr(flows.meta_train, "train", never)
    report = tmp_path / "report.html"
    with pytest.raises(DatasetRefusedError) as refusal:
        validate_data(ValidationRequest(root=leaking_root, report=report))
    assert refusal.value.report == report
    assert "copy.png" in report.read_text(encoding="utf-8")

    episodes = EpisodeRequest(
        dataset="leaking", index=tmp_path / "index.json", root=leaking_root, role="unassigned",
        n_way=2, episodes=2,
    )  # fmt: skip
    with pytest.raises(DatasetRefusedError):
        build_episodes(BuildEpisodesRequest(episodes=episodes, report=report))
    assert not episodes.index.exists()

    training = TrainingRequest(folder=tmp_path / "run", root=leaking_root)
    with pytest.raises(DatasetRefusedError):
        meta_train(MetaTrainingRequest(training=training, report=report))
    assert not training.folder.exists()


def test_episodes_are_reproduced_from_their_seed(phantom_root: Path, tmp_path: Path) -> None:
    def build(name: str, seed: int) -> str:
        request = EpisodeRequest(
            dataset="phantom", index=tmp_path / name, root=phantom_root, n_way=3, n_query=3,
            episodes=3, seed=seed,
        )  # fmt: skip
        report = tmp_path / "report.html"
        return str(build_episodes(BuildEpisodesRequest(episodes=request, report=report))["digest"])

    first = build("a.json", 1)
    assert build("b.json", 1) == first
    assert build("c.json", 2) != first
    assert EpisodeIndex.load(tmp_path / "a.json").digest == first
