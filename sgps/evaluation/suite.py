"""Many settings in one file: which manifests, ways and shots a benchmark consists of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sgps.errors import InputError
from sgps.evaluation.benchmark_data import BenchmarkSettings

_MAX_BYTES = 1_000_000


class SuiteSetting(BaseModel):
    """One entry of a suite, measured once for each number of shots.

    Paths are relative to the data folder. What is None is as the suite says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, pattern=r"^[\w.+-]+$")
    manifest: str
    role: str = "novel_test"
    n_way: int = Field(ge=2, le=20)
    shots: tuple[int, ...] | None = None
    episodes: int | None = Field(default=None, ge=2)
    n_query: int | None = Field(default=None, ge=1)
    dataset: str = ""
    min_groups: int = Field(default=0, ge=0)
    notes: bool = False
    absent_role: str = ""
    absent_manifest: str = ""

    @field_validator("manifest", "absent_manifest")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts:
            raise ValueError("a path relative to the data folder is needed")
        return path


class BenchmarkSuite(BaseModel):
    """The settings of a benchmark, read from YAML.

    Attributes
    ----------
    name: of the suite.
    seed: of all episodes.
    resolution: side of all images in pixels.
    shots, episodes, n_query: of every setting that does not say otherwise.
    iterative_episodes: on how many of the episodes iterative methods run.
    corruption_episodes: on how many corruptions are scored, where they are asked for.
    settings: what is measured; no two with the same name and number of classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    seed: int = Field(default=0, ge=0)
    resolution: int = Field(default=128, ge=32, le=1024)
    shots: tuple[int, ...] = Field(default=(1, 5), min_length=1)
    episodes: int = Field(default=600, ge=2)
    iterative_episodes: int = Field(default=60, ge=2)
    corruption_episodes: int = Field(default=100, ge=0)
    n_query: int = Field(default=10, ge=1)
    settings: tuple[SuiteSetting, ...] = Field(min_length=1)

    @field_validator("settings")
    @classmethod
    def _have_names_of_their_own(cls, settings: tuple[SuiteSetting, ...]) -> Any:
        names = [f"{setting.n_way}-way {setting.name}" for setting in settings]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]} appears twice")
        return settings

    @classmethod
    def load(cls, path: Path) -> BenchmarkSuite:
        """Read a suite.

        Raises
        ------
        InputError: no such file, no YAML, more than a megabyte, or a field that is missing, unknown
            or out of range; it is named.
        """
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise InputError(f"{path}: more than {_MAX_BYTES:,} bytes", expected="a suite")
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror or error})",
                expected="a benchmark suite in YAML, such as data/benchmark.yaml",
            ) from error
        except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            raise InputError(f"{path}: cannot be read ({error})", expected="YAML") from error
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "content"
            raise InputError(f"{path}: {place}: {first['msg']}", remedy="correct it") from error

    @property
    def digest(self) -> str:
        """SHA-256 of everything the suite says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def select(
        self,
        names: Sequence[str] = (),
        shots: Sequence[int] = (),
        episodes: int | None = None,
        resolution: int | None = None,
    ) -> BenchmarkSuite:
        """Return the part of the suite that is asked for; all of it where nothing is.

        names: of settings. shots: in place of the suite's. episodes: at most so many a setting.
        resolution: in place of the suite's.

        Raises
        ------
        InputError: a name that the suite does not have, or a number out of range.
        """
        known = list(dict.fromkeys(setting.name for setting in self.settings))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InputError(
                f"the suite has no setting {unknown[0]!r}", expected=f"one of {', '.join(known)}"
            )
        changes: dict[str, Any] = {
            "shots": tuple(shots) or self.shots,
            "resolution": resolution or self.resolution,
            "settings": tuple(
                setting.model_copy(
                    update={
                        "shots": None if shots else setting.shots,
                        "episodes": _at_most(setting.episodes or self.episodes, episodes),
                    }
                )
                for setting in self.settings
                if not names or setting.name in names
            ),
        }
        return self.model_copy(update=changes)

    def plan(
        self,
        data: Path,
        *,
        descriptions: Path | None = None,
        corruptions: bool = False,
        first_episode: int = 0,
    ) -> list[BenchmarkSettings]:
        """Return what is to be measured, setting by setting and shot by shot.

        data: the folder that the suite's paths start from. descriptions: of the classes.
        corruptions: whether they are scored. first_episode: of every setting, from 0.

        Raises
        ------
        InputError: no such folder, or a number out of range.
        """
        if not data.is_dir():
            raise InputError(f"{data}: not a folder", expected="that of the suite's manifests")
        return [
            BenchmarkSettings(
                manifest=data / setting.manifest,
                role=setting.role,
                n_way=setting.n_way,
                k_shot=k_shot,
                n_query=setting.n_query or self.n_query,
                episodes=setting.episodes or self.episodes,
                seed=self.seed,
                resolution=self.resolution,
                dataset=setting.dataset,
                descriptions=descriptions,
                name=setting.name,
                notes=setting.notes,
                min_groups=setting.min_groups,
                absent_role=setting.absent_role,
                absent_manifest=data / setting.absent_manifest if setting.absent_manifest else None,
                iterative_episodes=self.iterative_episodes,
                corruption_episodes=self.corruption_episodes if corruptions else 0,
                first_episode=first_episode,
            )
            for setting in self.settings
            for k_shot in (setting.shots or self.shots)
        ]


def _at_most(episodes: int, limit: int | None) -> int:
    return episodes if limit is None else min(episodes, limit)
