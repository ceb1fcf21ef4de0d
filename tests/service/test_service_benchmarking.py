"""Episode indexes and evaluations of stored datasets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sgps.datasets import ingest, open_source
from sgps.errors import InputError, IntegrityError, UnknownNameError
from sgps.service.benchmarking import (
    EpisodeRequest,
    EvaluationRequest,
    build_index,
    evaluate_generator,
)
from sgps.settings import Settings


@pytest.fixture
def index(phantom_root: Path, tmp_path: Path) -> Path:
    request = EpisodeRequest(
        dataset="phantom", index=tmp_path / "index.json", root=phantom_root, n_way=3, n_query=2,
        episodes=3,
    )  # fmt: skip
    build_index(request)
    return request.index


def evaluation(index: Path, root: Path, generator: Path) -> EvaluationRequest:
    return EvaluationRequest(
        index=index, report=index.with_name("report.json"), generator=str(generator), root=root,
        resolution=48,
    )  # fmt: skip


def test_the_generator_is_scored_on_the_episodes_of_the_index(
    index: Path, phantom_root: Path, untrained_generator: Path
) -> None:
    request = evaluation(index, phantom_root, untrained_generator)
    report = evaluate_generator(request, Settings())
    written = json.loads(request.report.read_text())
    assert written == json.loads(json.dumps(report.to_dict()))
    assert written["settings"]["role"] == "novel_test"
    assert written["settings"]["episodes"] == 3
    assert set(written["paired"]) == set(written["methods"]) - {"sgps"}


def test_a_generator_compared_with_itself_is_no_better(
    index: Path, phantom_root: Path, untrained_generator: Path
) -> None:
    request = evaluation(index, phantom_root, untrained_generator).model_copy(
        update={"incumbent": str(untrained_generator), "baselines": False}
    )
    report = evaluate_generator(request, Settings()).to_dict()
    assert report["paired"] == {"incumbent": {"difference": 0, "low": 0, "high": 0, "episodes": 3}}


def test_another_dataset_of_that_name_is_refused(
    index: Path, tmp_path: Path, untrained_generator: Path
) -> None:
    other = open_source("phantom", "phantom", images_per_class=8, size=64, seed=5, novel_test=3)
    ingest(other, tmp_path / "other")
    with pytest.raises(IntegrityError, match="phantom"):
        evaluate_generator(evaluation(index, tmp_path / "other", untrained_generator), Settings())


def test_what_cannot_be_drawn_is_named(phantom_root: Path, tmp_path: Path) -> None:
    request = EpisodeRequest(dataset="phantom", index=tmp_path / "index.json", root=phantom_root)
    with pytest.raises(InputError):
        build_index(request.model_copy(update={"n_way": 4}))
    with pytest.raises(InputError):
        build_index(request.model_copy(update={"role": "nobody"}))
    with pytest.raises(UnknownNameError):
        build_index(request.model_copy(update={"dataset": "nosuch"}))
    assert not request.index.exists()
