"""Fetching artifacts, and telling those that are not there from those that cannot be read."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from sgps.errors import IntegrityError, UnknownNameError
from sgps.registry._mlflow import (
    LocalArtifactRepository,
    MlflowException,
    get_artifact_repository,
)
from sgps.registry._package_folder import CLASSIFIER_PATH
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
