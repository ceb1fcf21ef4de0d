"""Validation that encodes each image once gives the scores of synthesis task by task."""

from __future__ import annotations

import copy

import pytest
import torch

from sgps.datasets.storage import StoredDataset
from sgps.episodes import Episode
from sgps.synthesizer import Hypernetwork
from sgps.training.image_bank import ImageBank
from sgps.training.pools import build_pools
from sgps.training.priors import fit_head_priors
from sgps.training.validation import validate, validation_episodes


@pytest.fixture(scope="module")
def fitted(hypernetwork: Hypernetwork, bank: ImageBank, phantoms: StoredDataset) -> Hypernetwork:
    hypernetwork = copy.deepcopy(hypernetwork)
    pools = build_pools([phantoms], ("meta_train",), 3)
    fit_head_priors(hypernetwork, bank, pools, images_a_class=4, seed=0)
    return hypernetwork


@pytest.fixture(scope="module")
def episodes(phantoms: StoredDataset) -> dict[str, list[Episode]]:
    pools = build_pools([phantoms], ("novel_val",), 6)
    return validation_episodes(pools, max_shots=5, count=6, seed=1)


def test_scores_are_those_of_synthesis_task_by_task(
    fitted: Hypernetwork, bank: ImageBank, episodes: dict[str, list[Episode]]
) -> None:
    accuracies: dict[str, float] = {}
    losses: list[float] = []
    for setting, drawn in episodes.items():
        hits = []
        for episode in drawn:
            tensors = bank.episode(episode)
            with torch.no_grad():
                synthesis = fitted.generate(tensors.support, tensors.labels, tensors.texts_NF)
                logits_QN = fitted.logits(synthesis, tensors.query)
            truth_Q = tensors.query_labels_Q
            hits.append(float((logits_QN.argmax(dim=1) == truth_Q).float().mean()))
            losses.append(float(torch.nn.functional.cross_entropy(logits_QN, truth_Q)))
        accuracies[setting] = sum(hits) / len(hits)
    scores = validate(fitted, bank, episodes)
    assert scores.by_dataset == pytest.approx(accuracies)
    assert scores.loss == pytest.approx(sum(losses) / len(losses), abs=1e-4)
    assert scores.accuracy == pytest.approx(sum(accuracies.values()) / len(accuracies))


def test_one_and_five_shots_of_each_dataset(
    phantoms: StoredDataset, episodes: dict[str, list[Episode]]
) -> None:
    assert set(episodes) == {f"{phantoms.name}/1-shot", f"{phantoms.name}/5-shot"}
    assert {episode.shots for episode in episodes[f"{phantoms.name}/5-shot"]} == {(5, 5, 5)}
    roles = phantoms.frame["role"].to_numpy()
    rows = [row for drawn in episodes.values() for episode in drawn
            for part in (episode.support, episode.query) for of_class in part
            for row in of_class]  # fmt: skip
    assert set(roles[rows]) == {"novel_val"}


def test_texts_are_used(
    fitted: Hypernetwork, bank: ImageBank, episodes: dict[str, list[Episode]],
    phantoms: StoredDataset,
) -> None:  # fmt: skip
    rows = range(len(phantoms.frame))
    bare = ImageBank({phantoms.name: bank.images(phantoms.name, rows)}, {}, 384)
    assert validate(fitted, bank, episodes).loss != validate(fitted, bare, episodes).loss
