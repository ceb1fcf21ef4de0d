"""Fetching and deleting artifacts; what is not there is told from what cannot be read."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from sgps.errors import IntegrityError, UnknownNameError
from sgps.registry._mlflow import (
    LocalArtifactRepository,
    MlflowException,
    get_artifact_repository,
)
from sgps.registry._package_folder import CLASSIFIER_PATH

if TYPE_CHECKING:
    from sgps.synthesizer.classifier import SynthesizedClassifier

_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


def fetch_artifact(tracking_uri: str, address: str, name: str, scratch: Path) -> Path:
    """Copy the file or folder ``name`` of the artifacts at ``address`` to ``scratch``; its path.

    Raises
    ------
    FileNotFoundError: there is nothing of that name.
    OSError, MlflowException, ...: it may be there, and cannot be read or copied now.
    """
    repository: Any = get_artifact_repository(address, tracking_uri=tracking_uri)
    if not _is_there(repository, name):
        raise FileNotFoundError(f"{address}/{name}")
    return Path(repository.download_artifacts(name, dst_path=str(scratch)))


def load_classifier(tracking_uri: str, source: str, model_uri: str) -> SynthesizedClassifier:
    """The classifier among the artifacts at ``source``, which ``model_uri`` stands for.

    Raises
    ------
    UnknownNameError: there is none.
    IntegrityError: its files are foreign or altered.
    OSError, MlflowException, ...: it cannot be read now.
    """
    from sgps.synthesizer.classifier import SynthesizedClassifier  # noqa: PLC0415 heavy

    with tempfile.TemporaryDirectory(prefix="sgps-") as scratch:
        try:
            folder = fetch_artifact(tracking_uri, source, CLASSIFIER_PATH, Path(scratch))
            return SynthesizedClassifier.load(folder)
        except (FileNotFoundError, UnknownNameError) as error:
            raise UnknownNameError(
                f"{model_uri} holds no synthesized classifier",
                remedy="see the registered ones with: sgps models",
            ) from error
        except IntegrityError as error:
            raise IntegrityError(
                f"{model_uri}: {error.what}",
                expected=error.expected,
                remedy=f"restore {source}/{CLASSIFIER_PATH}, or synthesize it again",
            ) from error


def delete_artifacts(tracking_uri: str, address: str) -> tuple[int, int]:
    """Delete everything at ``address``; how many files, and their bytes.

    Raises
    ------
    OSError, MlflowException, ...: files are left.
    """
    repository: Any = get_artifact_repository(address, tracking_uri=tracking_uri)
    sizes = [int(item.file_size or 0) for item in _walk(repository, None)]
    local = local_folder(address)
    if local is None or local.is_dir():
        for item in repository.list_artifacts():
            repository.delete_artifacts(item.path)
    left = [item.path for item in _walk(repository, None)]
    if left:
        raise OSError(f"{len(left)} artifacts could not be deleted, such as {left[0]}")
    if local is not None:
        with contextlib.suppress(OSError):
            local.rmdir()
            local.parent.rmdir()
    return len(sizes), sum(sizes)


def local_folder(address: str) -> Path | None:
    """The folder of an artifact address on this machine; None where it is elsewhere."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(address) if not parts.scheme else None


def _walk(repository: Any, path: str | None) -> Iterator[Any]:
    for item in repository.list_artifacts(path):
        if item.is_dir:
            yield from _walk(repository, item.path)
        else:
            yield item


def _is_there(repository: Any, name: str) -> bool:
    if isinstance(repository, LocalArtifactRepository):
        try:
            Path(repository.artifact_dir, name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True
    folder = name.rpartition("/")[0]
    try:
        return name in {item.path for item in repository.list_artifacts(folder or None)}
    except MlflowException as error:
        if error.error_code in _NOT_THERE:
            return False
        raise
