"""How good a generator is on fixed episodes that it never learns from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgps.episodes import ClassPool, Episode, EpisodeSpec, sample_episodes
from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.training.image_bank import ImageBank

_FEW, _MANY = 1, 5
_MAX_WAYS = 5
_QUERIES = 5
_BLOCK = 32


@dataclass(frozen=True)
class ValidationScores:
    """Accuracies and losses over validation episodes.

    Attributes
    ----------
    accuracy: mean over datasets and shots.
    loss: mean cross-entropy, likewise.
    by_dataset: accuracy for each ``<dataset>/<k>-shot``.
    """

    accuracy: float
    loss: float
    by_dataset: Mapping[str, float]


def validation_episodes(
    pools: Sequence[ClassPool], *, max_shots: int, count: int, seed: int
) -> dict[str, list[Episode]]:
    """``count`` episodes for each dataset at 1 and 5 shots, or at 1 and ``max_shots`` if fewer.

    At most 5-way, always the same for a seed.
    """
    episodes: dict[str, list[Episode]] = {}
    for pool in pools:
        for shots in sorted({_FEW, min(_MANY, max_shots)}):
            spec = EpisodeSpec(
                n_way=min(_MAX_WAYS, len(pool.labels)), k_shot=shots, n_query=_QUERIES
            )
            episodes[f"{pool.domain}/{shots}-shot"] = sample_episodes(
                [pool], spec, count=count, seed=seed
            )
    return episodes


@torch.inference_mode()
def validate(
    hypernetwork: Hypernetwork, bank: ImageBank, episodes: Mapping[str, Sequence[Episode]]
) -> ValidationScores:
    """Score a generator on validation episodes, with texts."""
    score = _task_logits if hypernetwork.config.task_codes else _shared_logits
    accuracies: dict[str, float] = {}
    losses: list[float] = []
    for setting, drawn in episodes.items():
        hits: list[float] = []
        for truth_Q, logits_QN in score(hypernetwork, bank, drawn):
            hits.append(float((logits_QN.argmax(1) == truth_Q).float().mean()))
            losses.append(float(torch.nn.functional.cross_entropy(logits_QN, truth_Q)))
        accuracies[setting] = sum(hits) / len(hits)
    return ValidationScores(
        accuracy=sum(accuracies.values()) / len(accuracies),
        loss=sum(losses) / len(losses),
        by_dataset=accuracies,
    )


def _task_logits(
    hypernetwork: Hypernetwork, bank: ImageBank, episodes: Sequence[Episode]
) -> Iterator[tuple[Tensor, Tensor]]:
    for episode in episodes:
        tensors = bank.episode(episode)
        synthesis = hypernetwork.generate(tensors.support, tensors.labels, tensors.texts_NF)
        yield tensors.query_labels_Q, hypernetwork.logits(synthesis, tensors.query)


def _shared_logits(
    hypernetwork: Hypernetwork, bank: ImageBank, episodes: Sequence[Episode]
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same logits where one body serves all tasks: each image is encoded once."""
    body = hypernetwork.shared_body()
    domain = episodes[0].domain
    as_support = _rows(episode.support for episode in episodes)
    as_query = _rows(episode.query for episode in episodes)
    support_taps = _in_blocks(
        lambda images: hypernetwork.support_taps(body, images), bank.images(domain, as_support)
    )
    query_taps = _in_blocks(
        lambda images: hypernetwork.taps_under(body, images), bank.images(domain, as_query)
    )
    for episode in episodes:
        labels, truth_Q = bank.labels(episode)
        support = _places(as_support, episode.support)
        query = _places(as_query, episode.query)
        head = hypernetwork.head_of(
            tuple(tap[support] for tap in support_taps),
            labels,
            bank.texts(domain, episode.classes).to(truth_Q.device),
        )
        yield truth_Q, head.logits(tuple(tap[query] for tap in query_taps))


def _rows(parts: Iterable[Sequence[Sequence[int]]]) -> list[int]:
    return sorted({row for part in parts for rows in part for row in rows})


def _places(known: list[int], part: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor([bisect_left(known, row) for rows in part for row in rows])


def _in_blocks(
    encode: Callable[[Tensor], tuple[Tensor, ...]], images: Tensor
) -> tuple[Tensor, ...]:
    blocks = [encode(block) for block in torch.split(images, _BLOCK)]
    return tuple(torch.cat(tap) for tap in zip(*blocks, strict=True))
