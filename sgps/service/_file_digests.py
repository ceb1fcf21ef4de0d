"""Digests of the files of a version, as the ledger keeps them beside the record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from sgps.audit import seal_digest

SUPPORT_FOLDER = "support"
_OF_MLFLOW = ("model/registered_model_meta",)


def seal_files(folder: Path, key: bytes) -> dict[str, str]:
    """HMAC under ``key`` of the SHA-256 of each file below ``folder``, by its path there.

    Support images are not among them: their paths hold digests, and the record has those of their
    pixels. Nor is what MLflow writes beside a model that it loads from a local store.
    """
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        place.as_posix(): seal_digest(key, _digest(path))
        for place, path in files.items()
        if place.parts[0] != SUPPORT_FOLDER and place.as_posix() not in _OF_MLFLOW
    }


def compare_files(
    recorded: Mapping[str, str], found: Mapping[str, str]
) -> list[tuple[str, str | None, str | None]]:
    """Path, recorded and found digest of each file where they differ; None for no such file."""
    return [
        (path, recorded.get(path), found.get(path))
        for path in sorted(recorded.keys() | found.keys())
        if recorded.get(path) != found.get(path)
    ]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
