"""The page's application over an untrained generator, and pictures to send to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sending import ADDRESS, services
from starlette.testclient import TestClient

from sgps.settings import Settings
from sgps.synthesizer import GeneratorConfig, Hypernetwork, Synthesizer
from sgps.web.app import create_app

OpenClient = Callable[..., TestClient]


@pytest.fixture(scope="session")
def generator() -> Synthesizer:
    torch.manual_seed(0)
    config = GeneratorConfig(architecture="tf_efficientnet_lite0", resolution=64)
    return Synthesizer(Hypernetwork.create(config, pretrained=False), name="untrained")


@pytest.fixture
def settings(fresh_home: Path, tmp_path: Path) -> Settings:
    shutil.copytree(fresh_home, tmp_path / "home")
    return Settings(home=tmp_path / "home")


@pytest.fixture
def open_client(settings: Settings, generator: Synthesizer) -> Iterator[OpenClient]:
    """Opens a client of an application of these settings, changed; its clock does not run."""
    opened: list[TestClient] = []

    def open_with(*, wait: float = 60.0, **changes: Any) -> TestClient:
        changed = Settings(**{**settings.model_dump(), **changes})
        opened.append(TestClient(create_app(changed, generator, wait=wait), base_url=ADDRESS))
        return opened[-1]

    yield open_with
    for client in opened:
        services(client).close()


@pytest.fixture
def client(open_client: OpenClient) -> TestClient:
    return open_client()


@pytest.fixture(scope="module")
def running(
    fresh_home: Path, generator: Synthesizer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """A client of an application that runs as it would when served, shared by a module's tests."""
    home = tmp_path_factory.mktemp("running") / "home"
    shutil.copytree(fresh_home, home)
    app = create_app(Settings(home=home), generator, wait=60.0)
    with TestClient(app, base_url=ADDRESS) as opened:
        yield opened
