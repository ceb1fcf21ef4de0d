"""Splits by group, seeded samplers of few-shot tasks, and the index that reproduces them."""

from sgps.episodes.index import EpisodeIndex
from sgps.episodes.pools import ClassPool, GroupRows
from sgps.episodes.sampler import Episode, EpisodeSpec, sample_episode, sample_episodes
from sgps.episodes.splits import split_by_group

__all__ = [
    "ClassPool",
    "Episode",
    "EpisodeIndex",
    "EpisodeSpec",
    "GroupRows",
    "sample_episode",
    "sample_episodes",
    "split_by_group",
]
