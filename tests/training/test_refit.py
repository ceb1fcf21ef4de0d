"""A head fitted anew is the one that training would have fitted to the same body."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sgps.datasets.descriptions import DescriptionLibrary
from sgps.datasets.ingest import ingest
from sgps.datasets.sources.phantom import PhantomSource
from sgps.datasets.storage import StoredDataset
from sgps.errors import InputError
from sgps.synthesizer import Hypernetwork
from sgps.synthesizer.checkpoint import load_generator
from sgps.training import MetaTrainingConfig, meta_train
from sgps.training.refit import refit_head


def load(folder: Path, config: MetaTrainingConfig) -> tuple[Hypernetwork, dict[str, Any]]:
    torch.manual_seed(config.seed)  # of the random base
    return load_generator(folder, pretrained=False)


@pytest.fixture
def trained(
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
) -> Path:
    """A generator of this test's settings, but for a head over the plain taps alone."""
    plain = config.model_copy(update={"generator": replace(config.generator, centre_widths=())})
    meta_train(plain, [phantoms], descriptions, tmp_path / "trained", name="g")
    torch.manual_seed(config.seed)  # the random base, when it is loaded again
    return tmp_path / "trained"


def test_it_is_what_training_keeps_of_the_same_body(
    trained: Path,
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
) -> None:
    _, scores = refit_head(trained, config, [phantoms], descriptions, tmp_path / "refitted")
    before, trained_description = load(trained, config)
    after, description = load(tmp_path / "refitted", config)
    assert before.network.centre_of == ()
    assert len(after.network.centre_of) == 6
    for one, other in zip(before.generator.deltas, after.generator.deltas, strict=True):
        assert torch.equal(one, other)
    lineage = description["lineage"]
    assert lineage["body_of"] == trained_description["tensors_sha256"]
    assert lineage["config"] == config.record()
    assert lineage["episodes"] == trained_description["lineage"]["episodes"]
    assert lineage["validation_accuracy"] == scores.accuracy
    torch.manual_seed(config.seed)
    again, _ = refit_head(
        tmp_path / "refitted", config, [phantoms], descriptions, tmp_path / "again"
    )
    _, twice = load(tmp_path / "again", config)
    assert again == description["tensors_sha256"]
    assert twice["lineage"]["body_of"] == trained_description["tensors_sha256"]


def test_of_an_unmoved_body_it_is_what_training_fits(
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
) -> None:
    """No step is taken: every tensor is the one that training writes with these settings."""
    still = config.model_copy(update={"delta_rate": 0.0, "generator_rate": 1e-12, "episodes": 1})
    plain = still.model_copy(update={"generator": replace(config.generator, centre_widths=())})
    meta_train(plain, [phantoms], descriptions, tmp_path / "plain", name="g")
    whole = meta_train(still, [phantoms], descriptions, tmp_path / "whole", name="g")
    torch.manual_seed(config.seed)
    sha256, scores = refit_head(
        tmp_path / "plain", still, [phantoms], descriptions, tmp_path / "refitted"
    )
    assert sha256 == whole.generator_sha256
    assert scores.accuracy == whole.best_accuracy


def test_refitted_alike_it_is_the_same_generator(
    trained: Path,
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
) -> None:
    first, _ = refit_head(trained, config, [phantoms], descriptions, tmp_path / "a")
    torch.manual_seed(config.seed)
    again, _ = refit_head(tmp_path / "a", config, [phantoms], descriptions, tmp_path / "b")
    assert again == first


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"seed": 3}, "other settings: seed"), ({"max_ways": 4}, "other settings: max_ways")],
)
def test_other_settings_of_the_body_are_refused(
    trained: Path,
    config: MetaTrainingConfig,
    phantoms: StoredDataset,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
    changes: dict[str, int],
    named: str,
) -> None:
    with pytest.raises(InputError, match=named):
        refit_head(
            trained, config.model_copy(update=changes), [phantoms], descriptions, tmp_path / "no"
        )
    assert not (tmp_path / "no").exists()


def test_other_data_are_refused(
    trained: Path,
    config: MetaTrainingConfig,
    descriptions: DescriptionLibrary,
    tmp_path: Path,
) -> None:
    source = PhantomSource(
        classes=8, images_per_class=9, size=48, roles={"meta_train": 1.0}, novel_val=3
    )
    other = ingest(source, tmp_path / "other")
    with pytest.raises(InputError, match="missing or others: phantom"):
        refit_head(trained, config, [other], descriptions, tmp_path / "no")
    assert not (tmp_path / "no").exists()
