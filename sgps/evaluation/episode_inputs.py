"""What methods are given of an episode, and what is true of its queries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from sgps.episodes import Episode
from sgps.evaluation.benchmark_data import BenchmarkData, BenchmarkSettings
from sgps.evaluation.corruptions import CORRUPTIONS
from sgps.evaluation.episode_cache import PoolDigests, inputs_digest
from sgps.evaluation.methods import EpisodeInputs
from sgps.evaluation.metrics import Ints
from sgps.evaluation.scores import QueryTruth

NOTE_CHARACTERS = 240
"""How much of a clinical note is kept."""

_LEAST_ABSENT_GROUPS = 3


class EpisodeMaker:
    """Makes the inputs of the episodes of one setting.

    Parameters
    ----------
    settings: what is measured.
    data: the images of those settings.
    texts: description of each label; labels without one are given none.
    """

    def __init__(
        self, settings: BenchmarkSettings, data: BenchmarkData, texts: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._data = data
        self._texts = texts
        self._pool_digests = PoolDigests(data.images)
        self._query_digests = self._pool_digests
        if settings.corruption_episodes:
            self._query_digests = PoolDigests(data.corrupted_copies.images)

    def make(self, episode: Episode, number: int) -> tuple[EpisodeInputs, QueryTruth]:
        """Return the inputs of an episode and the truth about its queries, in their order.

        number: of the episode; the first ``corruption_episodes`` have altered copies among their
        queries, which are then all read from ``query_pool``.
        """
        rows_Q = np.concatenate([np.asarray(rows, dtype=np.int64) for rows in episode.query])
        labels_Q = np.repeat(np.arange(episode.n_way), [len(rows) for rows in episode.query])
        absent = draw_absent(episode, self._data, self._settings.n_query)
        query_rows, query_pool = np.concatenate([rows_Q, absent]), None
        corruptions: tuple[str, ...] = ()
        if number < self._settings.corruption_episodes:
            copies = self._data.corrupted_copies
            corruptions, query_pool = tuple(CORRUPTIONS), copies.images
            query_rows = np.concatenate([copies.keep(query_rows), *copies.alter(rows_Q).values()])
        inputs = EpisodeInputs(
            class_names=episode.classes,
            descriptions=self._descriptions(episode),
            pool=self._data.images,
            support_rows=tuple(np.asarray(rows, dtype=np.int64) for rows in episode.support),
            query_rows=query_rows,
            query_pool=query_pool,
        )
        return inputs, QueryTruth(labels_Q, rows_Q, len(absent), corruptions)

    def digest(self, inputs: EpisodeInputs) -> str:
        """Return the digest of everything in the inputs, for a cache."""
        altered = inputs.query_pool is not None
        queries = self._query_digests if altered else self._pool_digests
        return inputs_digest(inputs, self._pool_digests, queries)

    def _descriptions(self, episode: Episode) -> tuple[str, ...]:
        texts = [self._texts.get(label, "") for label in episode.classes]
        if self._settings.notes:
            notes = self._data.frame["text"]
            shown = [[str(notes.iat[row]) for row in rows] for rows in episode.support]
            texts = [add_notes(text, notes) for text, notes in zip(texts, shown, strict=True)]
        return tuple(texts)


def add_notes(text: str, notes: list[str]) -> str:
    """Return a class description followed by the clinical notes of its support images.

    A note that is empty or there already is left out; one of more than 240 characters is cut at the
    end of a word.
    """
    parts = [text] if text else []
    for note in map(_clip, notes):
        if note and note not in parts:
            parts.append(note)
    return " ".join(parts)


def draw_absent(episode: Episode, data: BenchmarkData, count: int) -> Ints:
    """Return up to ``count`` rows of one class that is not in the task, each of another group.

    The class has at least 3 groups apart from the episode's own, which are not used. No rows (0,)
    where there is no such class. What is drawn depends on the episode's seed and on the names of
    labels and groups alone.
    """
    shown = [row for rows in (*episode.support, *episode.query) for row in rows]
    used = set(data.frame["group"].iloc[shown])
    others = sorted(set(data.absent_groups) - set(episode.classes))
    for label in sorted(others, key=lambda label: _draw(episode.seed, label)):
        rows_of = data.absent_groups[label]
        free = sorted(
            (group for group in rows_of if group not in used),
            key=lambda group: _draw(episode.seed, label, group),
        )
        if len(free) >= _LEAST_ABSENT_GROUPS:
            return np.array(
                [_one_of(rows_of[group], episode.seed, label, group) for group in free[:count]]
            )
    return np.zeros(0, dtype=np.int64)


def _one_of(rows: list[int], *parts: object) -> int:
    return rows[_draw(*parts, "row") % len(rows)]


def _draw(*parts: object) -> int:
    """A number that looks random but follows from the parts alone, on every machine."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def _clip(note: str) -> str:
    words = " ".join(note.split())
    if len(words) <= NOTE_CHARACTERS:
        return words
    return words[: NOTE_CHARACTERS + 1].rsplit(" ", 1)[0][:NOTE_CHARACTERS]
