"""Packages to register: a real classifier, drawn images, an audit record in its usual form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sgps.datasets.decoding import hash_pixels
from sgps.registry import ModelPackage, ModelRegistry, SupportImage, support_artifact_names
from sgps.synthesizer import (
    ClassSupport,
    GeneratorConfig,
    Hypernetwork,
    SynthesizedClassifier,
    Synthesizer,
    Task,
)

BuildPackage = Callable[..., ModelPackage]
Pixels = np.ndarray


def pixels_of(seed: int, height: int = 32, width: int = 40) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def classifiers() -> Callable[[tuple[str, ...]], SynthesizedClassifier]:
    """Classifiers of a generator that was never trained, over random base weights."""
    torch.manual_seed(0)
    config = GeneratorConfig(architecture="tf_efficientnet_lite0", resolution=64)
    synthesizer = Synthesizer(Hypernetwork.create(config, pretrained=False), name="untrained")
    made: dict[tuple[str, ...], SynthesizedClassifier] = {}

    def build(names: tuple[str, ...]) -> SynthesizedClassifier:
        if names not in made:
            classes = [ClassSupport(name, (pixels_of(n),)) for n, name in enumerate(names)]
            made[names] = synthesizer.synthesize(Task("t", tuple(classes)))
        return made[names]

    return build


@pytest.fixture
def build_package(
    classifiers: Callable[[tuple[str, ...]], SynthesizedClassifier],
) -> BuildPackage:
    def build(
        task: str = "Skin marks",
        *,
        names: tuple[str, ...] = ("melanoma", "naevus"),
        shots: int = 2,
        text: str = "Asymmetric.",
        **changes: Any,
    ) -> ModelPackage:
        images = {
            name: [pixels_of(100 * n + shot) for shot in range(shots)]
            for n, name in enumerate(names)
        }
        digests = {name: [hash_pixels(pixels) for pixels in row] for name, row in images.items()}
        artifacts = support_artifact_names(digests)
        support = tuple(
            SupportImage(name, f"{name}/{n}.jpg", pixels, artifact, digest, "f" * 64)
            for name in names
            for n, (pixels, artifact, digest) in enumerate(
                zip(images[name], artifacts[name], digests[name], strict=True)
            )
        )
        parts = {
            "request_id": "0123456789abcdef" * 2,
            "task": task,
            "requester": "Dr. Ada",
            "purpose": "To show that it works.",
            "classifier": classifiers(names),
            "support": support,
            "texts": {name: text if n == 0 else "" for n, name in enumerate(names)},
            "request": {"task": task},
            "audit": _audit(),
        }
        return ModelPackage(**(parts | changes))

    return build


def _audit() -> dict[str, Any]:
    lineage = {"images": {"phantom": 5}}
    return {
        "when": {
            "requested": "2030-01-02T03:04:05+00:00",
            "synthesized": "2030-01-02T03:04:06+00:00",
        },
        "inputs": {"request_sha256": "a" * 64},
        "generator": {"name": "untrained", "sha256": "b" * 64, "lineage": lineage},
        "data_version": None,
        "code": {"version": "0.1.0", "git_commit": None},
        "flow": {"name": "synthesize", "version": "1", "run_id": None, "steps": {"decode": "1"}},
        "environment": {"python": "3.11", "platform": "test", "libraries": {"numpy": "2"}},
        "seed": None,
        "device": "cpu",
        "seconds": {"synthesize_weights": 0.5},
        "warnings": [],
    }


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables, to copy; making them takes a second."""
    folder = tmp_path_factory.mktemp("store")
    ModelRegistry(f"sqlite:///{folder}/mlflow.db").search()
    return folder / "mlflow.db"


@pytest.fixture
def tracking_uri(empty_store: Path, tmp_path: Path) -> str:
    target = tmp_path / "mlflow" / "mlflow.db"
    target.parent.mkdir()
    target.write_bytes(empty_store.read_bytes())
    return f"sqlite:///{target}"


@pytest.fixture
def artifact_folder(tmp_path: Path) -> Path:
    return tmp_path / "mlflow" / "artifacts"


@pytest.fixture
def registry(tracking_uri: str, artifact_folder: Path) -> ModelRegistry:
    return ModelRegistry(tracking_uri, artifact_folder)
