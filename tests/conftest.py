"""What every test shares: no network, no telemetry, one thread, a home of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_SESSION_HOME = tempfile.TemporaryDirectory(prefix="sgps-tests-")
_HOME = Path(_SESSION_HOME.name)

os.environ.update(
    {
        "SGPS_HOME": str(_HOME / "sgps"),
        "HOME": str(_HOME / "user"),
        "PREFECT_HOME": str(_HOME / "prefect"),
        "MPLCONFIGDIR": str(_HOME / "matplotlib"),
        "HF_HUB_OFFLINE": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "GX_ANALYTICS_ENABLED": "False",
        "DVC_NO_ANALYTICS": "1",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "TOKENIZERS_PARALLELISM": "false",
    }
)
for _name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
    os.environ.pop(_name, None)
for _name in [name for name in os.environ if name.startswith("SGPS_") and name != "SGPS_HOME"]:
    del os.environ[_name]
(_HOME / "user").mkdir()

import pytest  # noqa: E402

pytest_plugins = ["servers"]


@pytest.fixture
def sgps_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty SGPS home of this test alone."""
    home = tmp_path / "home"
    monkeypatch.setenv("SGPS_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def fresh_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose stores exist and are empty, to be copied: making MLflow's tables takes time."""
    from sgps.service.workspace import open_workspace
    from sgps.settings import Settings

    home = tmp_path_factory.mktemp("fresh") / "home"
    with open_workspace(Settings(home=home)) as workspace:
        assert workspace.registry.search() == []
    return home


@pytest.fixture
def used_home(fresh_home: Path, sgps_home: Path) -> Path:
    """An SGPS home of this test alone that has been used before, for nothing yet."""
    shutil.copytree(fresh_home, sgps_home)
    return sgps_home


@pytest.fixture(scope="session")
def untrained_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a generator at its starting values: small images, public weights."""
    from sgps.synthesizer import GeneratorConfig, Hypernetwork
    from sgps.synthesizer.checkpoint import save_generator

    folder = tmp_path_factory.mktemp("untrained")
    network = Hypernetwork.create(GeneratorConfig(resolution=64))
    save_generator(network, folder, name="untrained", text_encoder="minilm", lineage={})
    return folder


@pytest.fixture(scope="session")
def phantom_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root with one small dataset of drawn lesions, named phantom."""
    from sgps.datasets import ingest, open_source

    root = tmp_path_factory.mktemp("shards")
    source = open_source(
        "phantom", "phantom", images_per_class=8, size=64, novel_val=3, novel_test=3
    )
    ingest(source, root)
    return root


@pytest.fixture(scope="session", autouse=True)
def _session_home() -> Iterator[None]:
    yield
    _SESSION_HOME.cleanup()
