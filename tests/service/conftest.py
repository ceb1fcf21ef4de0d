"""Small requests on disk, a workspace in a temporary folder, and a real generator."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from recorded_home import RecordedHome, copy_home

from sgps.service.workspace import Workspace, open_workspace
from sgps.settings import Settings
from sgps.synthesizer import GeneratorConfig, Hypernetwork, Synthesizer

WriteImage = Callable[..., Path]


@pytest.fixture(scope="session")
def generator() -> Synthesizer:
    """A generator that was never trained, over random base weights: real, and quick to make."""
    torch.manual_seed(0)
    config = GeneratorConfig(architecture="tf_efficientnet_lite0", resolution=64)
    hypernetwork = Hypernetwork.create(config, pretrained=False)
    lineage = {"data_sha256": "ab" * 32, "datasets": {"phantom": "cd" * 32}}
    return Synthesizer(hypernetwork, name="untrained", lineage=lineage)


@pytest.fixture
def settings(fresh_home: Path, tmp_path: Path) -> Settings:
    shutil.copytree(fresh_home, tmp_path / "home")
    return Settings(home=tmp_path / "home")


@pytest.fixture
def home(fresh_home: Path, generator: Synthesizer, tmp_path: Path) -> RecordedHome:
    """A home with three recorded models; a module of such tests takes its ``settings`` from it."""
    return copy_home(fresh_home, generator, tmp_path)


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    with open_workspace(settings) as opened:
        yield opened


@pytest.fixture
def write_image() -> WriteImage:
    def write(path: Path, seed: int, side: int = 48) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((side + seed % 5, side)).save(path)
        return path

    return write


@pytest.fixture
def task_folder(tmp_path: Path, write_image: WriteImage) -> Path:
    """Three classes of two images each; one is described."""
    folder = tmp_path / "Skin marks"
    for number, label in enumerate(("melanoma", "naevus", "wart")):
        for place in range(2):
            write_image(folder / label / f"{place}.png", seed=10 * number + place)
    (folder / "melanoma" / "description.txt").write_text("Asymmetric, several colours.\n")
    (folder / ".DS_Store").write_bytes(b"\x00")
    (folder / "wart" / ".hidden").write_bytes(b"\x00")
    return folder


@pytest.fixture
def task_file(task_folder: Path) -> Path:
    path = task_folder / "task.yaml"
    path.write_text(
        """\
task: Skin marks
requester: Dr. Ada
purpose: To show that it works.
classes:
  - name: melanoma
    description: |
      Asymmetric,
      several colours.
    images: [melanoma/0.png, melanoma/1.png]
  - name: naevus
    images:
      - naevus/0.png
"""
    )
    return path
