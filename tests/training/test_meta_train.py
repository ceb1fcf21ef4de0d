from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sgps.datasets.descriptions import DescriptionLibrary
from sgps.datasets.ingest import ingest
from sgps.datasets.sources.phantom import PhantomSource
from sgps.datasets.storage import StoredDataset
from sgps.errors import InputError
from sgps.synthesizer.sealed import read_sealed
from sgps.training import MetaTrainingConfig, meta_train
from sgps.training.state import STATE_FORMAT


def final_state(folder: Path) -> dict[str, Tensor]:
    newest = max(path.stem for path in folder.glob("state-*.json"))
    return dict(read_sealed(folder, newest, file_format=STATE_FORMAT).tensors)


def assert_same_tensors(left: Path, right: Path) -> None:
    ours, theirs = final_state(left), final_state(right)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.parametrize("task_codes", [False, True], ids=["shared body", "codes"])
def test_a_stopped_run_goes_on_as_if_it_had_not(
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
    task_codes: bool,
) -> None:
    generator = replace(config.generator, task_codes=task_codes)
    config = config.model_copy(update={"generator": generator})
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    whole = meta_train(config, [phantoms], descriptions, straight)
    meta_train(config, [phantoms], descriptions, stopped, stop_after=5)
    newest = max(stopped.glob("state-*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:1000])  # killed while writing
    resumed = meta_train(config, [phantoms], descriptions, stopped)
    assert whole.episodes_done == resumed.episodes_done == config.episodes
    assert whole.best_accuracy == resumed.best_accuracy
    assert whole.generator_sha256 == resumed.generator_sha256
    assert_same_tensors(straight, stopped)
    assert_learned_and_averaged(final_state(straight), updates=4)


def assert_learned_and_averaged(state: dict[str, Tensor], *, updates: int) -> None:
    assert int(state["module.average.n_averaged"]) == updates
    for name in (name for name in state if name.startswith("module.generator.deltas.")):
        average = state[name.replace("generator.", "average.module.", 1)]
        assert state[name].any()
        assert average.any()
        assert not torch.equal(average, state[name])


def test_the_priors_of_the_kept_generator_are_fitted(
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
) -> None:
    meta_train(config, [phantoms], descriptions, tmp_path / "texts", stop_after=2)
    meta_train(config, [phantoms], None, tmp_path / "none", stop_after=2)
    described, bare = (
        read_sealed(tmp_path / name, "generator", file_format="sgps-generator-1").tensors
        for name in ("texts", "none")
    )
    assert described["head_priors.text_up_KD"].any()
    assert not bare["head_priors.text_up_KD"].any()
    shares_R = described["head_priors.shares_R"]
    assert ((shares_R > 0) & (shares_R < 1)).all()
    assert torch.equal(shares_R, bare["head_priors.shares_R"])


def test_reports_progress_and_metrics(
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
) -> None:
    seen: list[tuple[int, int]] = []
    logged: list[tuple[int, set[str]]] = []
    statuses: list[str] = []

    def note(done: int, total: int, status: str) -> None:
        seen.append((done, total))
        statuses.append(status)

    result = meta_train(
        config,
        [phantoms],
        descriptions,
        tmp_path,
        name="g",
        progress=note,
        metrics=lambda values, episode: logged.append((episode, set(values))),
    )
    assert seen == [(2, 8), (4, 8), (6, 8), (8, 8)]
    assert [episode for episode, _ in logged] == [0, 4, 8]
    pace = "train/episodes_per_second"
    assert logged[0][1] == {"validation/accuracy", "validation/loss"}
    assert logged[1][1] == {"validation/accuracy", "validation/loss", "train/loss", pace}
    assert all(re.fullmatch(r"loss .+, best .+, [\d.e+]+ episodes/s", each) for each in statuses)
    assert 0 <= result.best_accuracy <= 1
    assert (result.checkpoint / "generator.json").is_file()
    description = read_sealed(tmp_path, "generator", file_format="sgps-generator-1").description
    assert description["name"] == "g"
    assert description["tensors_sha256"] == result.generator_sha256
    assert description["lineage"]["validated_on"]["role"] == "novel_val"
    assert description["lineage"]["datasets"] == {phantoms.name: phantoms.digest}


def test_stops_early(
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
) -> None:
    patient = config.model_copy(
        update={"episodes": 400, "validate_every": 2, "patience": 1, "delta_rate": 0.0,
                "generator_rate": 1e-12}
    )  # fmt: skip
    result = meta_train(patient, [phantoms], descriptions, tmp_path)
    assert result.episodes_done == 2
    assert result.best_episode == 0


def test_refuses_to_resume_with_other_settings(
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
) -> None:
    meta_train(config, [phantoms], descriptions, tmp_path, stop_after=2)
    other = config.model_copy(update={"seed": 1})
    with pytest.raises(InputError, match="another configuration or other data"):
        meta_train(other, [phantoms], descriptions, tmp_path)


def test_needs_images_to_validate_on(
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
) -> None:
    blind = config.model_copy(update={"validation_roles": ("meta_val",)})
    with pytest.raises(InputError, match="no dataset has images of role meta_val"):
        meta_train(blind, [phantoms], descriptions, tmp_path)


def test_never_reads_novel_test_images(
    config: MetaTrainingConfig, phantoms: StoredDataset, monkeypatch: pytest.MonkeyPatch,
    descriptions: DescriptionLibrary, tmp_path: Path,
) -> None:  # fmt: skip
    read: list[int] = []
    original = StoredDataset.images

    def spy(self: StoredDataset, size: int, indices: list[int]) -> object:
        read.extend(indices)
        return original(self, size, indices)

    monkeypatch.setattr(StoredDataset, "images", spy)
    meta_train(config, [phantoms], descriptions, tmp_path, stop_after=2)
    assert read
    assert set(phantoms.frame.loc[read, "role"]) == {"meta_train", "novel_val"}
    assert "novel_test" in set(phantoms.frame["role"])


def test_datasets_without_a_training_role_are_passed_over(
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
) -> None:
    source = PhantomSource("aside", classes=2, images_per_class=4, size=48, roles={"novel_test": 1})
    aside = ingest(source, tmp_path / "shards")
    meta_train(config, [aside, phantoms], descriptions, tmp_path / "run", stop_after=2)
    lineage = read_sealed(
        tmp_path / "run", "generator", file_format="sgps-generator-1"
    ).description["lineage"]
    assert lineage["trained_on"] == ["phantom"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_trains_on_a_gpu(
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
) -> None:
    logged: list[set[str]] = []
    result = meta_train(
        config.model_copy(update={"device": "cuda"}),
        [phantoms],
        descriptions,
        tmp_path,
        metrics=lambda values, _episode: logged.append(set(values)),
    )
    assert result.episodes_done == config.episodes
    assert {"train/episodes_per_second", "train/gpu_busy"} <= logged[-1]
    assert_learned_and_averaged(final_state(tmp_path), updates=4)
