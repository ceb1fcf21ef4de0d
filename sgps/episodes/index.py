"""Episodes on file: what was drawn, from which data, and a digest of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sgps.episodes.sampler import Episode, EpisodeSpec
from sgps.errors import InputError, IntegrityError
from sgps.files import write_whole

_FORMAT, _FORMAT_VERSION = "sgps-episodes", 1
_MAX_BYTES = 1_000_000_000


@dataclass(frozen=True)
class EpisodeIndex:
    """Episodes, the spec and seed they were drawn with, and the digests of their datasets.

    dataset_digests: digest of each domain's :class:`~sgps.datasets.StoredDataset` by its name.

    Raises
    ------
    InputError: an episode's domain has no digest.
    """

    episodes: tuple[Episode, ...]
    spec: EpisodeSpec
    seed: int
    dataset_digests: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "episodes", tuple(self.episodes))
        object.__setattr__(self, "dataset_digests", dict(sorted(self.dataset_digests.items())))
        missing = sorted({episode.domain for episode in self.episodes} - set(self.dataset_digests))
        if missing:
            raise InputError(
                f"episodes of {missing[0]} without the digest of that dataset",
                expected="a digest for each domain",
            )

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex over everything the index holds."""
        return hashlib.sha256(_canonical(self._content()).encode()).hexdigest()

    def check_datasets(self, digests: Mapping[str, str]) -> None:
        """Make sure that the datasets are those the episodes were drawn from.

        digests: the present digest of each dataset by name; further ones do not matter.

        Raises
        ------
        InputError: a dataset of the index is missing. IntegrityError: one has changed since.
        """
        for domain, recorded in self.dataset_digests.items():
            if domain not in digests:
                raise InputError(
                    f"dataset {domain} of the episode index is missing",
                    expected=", ".join(self.dataset_digests),
                    remedy="ingest it",
                )
            if digests[domain] != recorded:
                raise IntegrityError(
                    f"dataset {domain} has digest {digests[domain][:12]}",
                    expected=f"{recorded[:12]}, from which the episodes were drawn",
                    remedy="build the episodes again or restore the dataset",
                )

    def save(self, path: Path) -> None:
        """Write the index as JSON, whole or not at all.

        Raises
        ------
        StoreError: the file cannot be written.
        """
        text = _canonical({**self._content(), "digest": self.digest})
        write_whole(path, text + "\n")

    @classmethod
    def load(cls, path: Path) -> EpisodeIndex:
        """Read an index.

        Raises
        ------
        InputError: no such file. IntegrityError: damaged, foreign, or not what was written.
        """
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise _foreign(path, f"more than {_MAX_BYTES:,} bytes")
            content = json.loads(path.read_text(encoding="utf-8"))
            if (content["format"], content["format_version"]) != (_FORMAT, _FORMAT_VERSION):
                raise _foreign(path, f"format {content['format']!r}")
            index = cls(
                episodes=tuple(_episode(values) for values in content["episodes"]),
                spec=_spec(content["spec"]),
                seed=content["seed"],
                dataset_digests=content["dataset_digests"],
            )
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror})", expected="an episode index"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
            raise _foreign(path, f"{type(error).__name__}: {error}") from error
        if index.digest != content.get("digest"):
            raise _foreign(path, "its content does not match its digest")
        return index

    def _content(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "seed": self.seed,
            "spec": asdict(self.spec),
            "dataset_digests": self.dataset_digests,
            "episodes": [asdict(episode) for episode in self.episodes],
        }


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _spec(values: dict[str, Any]) -> EpisodeSpec:
    ranges = {
        name: tuple(values[name]) if isinstance(values[name], list) else values[name]
        for name in ("n_way", "k_shot")
    }
    return EpisodeSpec(**{**values, **ranges})


def _episode(values: dict[str, Any]) -> Episode:
    return Episode(
        domain=values["domain"],
        classes=tuple(values["classes"]),
        support=tuple(tuple(rows) for rows in values["support"]),
        query=tuple(tuple(rows) for rows in values["query"]),
        seed=values["seed"],
    )


def _foreign(path: Path, reason: str) -> IntegrityError:
    return IntegrityError(
        f"{path}: not the episode index that was written ({reason})",
        expected="an undamaged index",
        remedy="build the episodes again",
    )
