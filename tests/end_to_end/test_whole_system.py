"""`sgps up` with everything: its deployment, asked over the API and by the form of Prefect's UI."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image

from sgps.datasets.phantoms import draw_phantom

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("chromium")]

KINDS = ("angioma", "melanoma")
START_SECONDS = 170


@pytest.fixture(scope="module")
def task_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("form")
    classes = []
    for number, kind in enumerate(KINDS):
        image = draw_phantom(kind, 96, np.random.default_rng(number))
        Image.fromarray(image).save(folder / f"{kind}.png")
        classes.append(f"  - {{name: {kind}, images: [{kind}.png]}}")
    lines = ["task: Two lesions", "requester: Dr. Ada", "purpose: a test", "classes:", *classes]
    (folder / "task.yaml").write_text("\n".join(lines) + "\n")
    return folder / "task.yaml"


@pytest.fixture(scope="module")
def system(
    untrained_generator: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Environment of a system that runs: its home, its ports."""
    home = tmp_path_factory.mktemp("whole")
    environment = os.environ | {
        "SGPS_HOME": str(home / "home"),
        "SGPS_GENERATOR": str(untrained_generator),
        **{f"SGPS_{name}_PORT": str(_free_port()) for name in ("PAGE", "MLFLOW", "PREFECT")},
    }
    environment.pop("PREFECT_HOME")
    started = _sgps(environment, "up", "--detach", "--wait", str(START_SECONDS), cwd=home)
    assert started.returncode == 0, started.stderr
    try:
        yield environment
    finally:
        stopped = _sgps(environment, "down", cwd=home)
        assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="module")
def receipt(system: dict[str, str], task_file: Path) -> dict[str, Any]:
    """Of a classifier that the deployment made for ``sgps synthesize --remote``."""
    made = _sgps(system, "synthesize", str(task_file), "--remote", "--json", cwd=task_file.parent)
    assert made.returncode == 0, made.stderr
    return dict(json.loads(made.stdout))


def test_asked_again_the_deployment_gives_the_same_version(
    system: dict[str, str], task_file: Path, receipt: dict[str, Any]
) -> None:
    again = _sgps(system, "synthesize", str(task_file), "--remote", "--json", cwd=task_file.parent)
    assert json.loads(again.stdout) == receipt
    listed = _sgps(system, "models", "--json", cwd=task_file.parent)
    assert [one["model_uri"] for one in json.loads(listed.stdout)] == [receipt["model_uri"]]


def test_what_the_deployment_refuses_is_told(
    system: dict[str, str], task_file: Path, tmp_path: Path
) -> None:
    text = task_file.read_text().replace("melanoma.png", "nosuch.png")
    (tmp_path / "task.yaml").write_text(text)
    (tmp_path / "angioma.png").write_bytes((task_file.parent / "angioma.png").read_bytes())
    refused = _sgps(system, "synthesize", str(tmp_path / "task.yaml"), "--remote", cwd=tmp_path)
    assert refused.returncode == 2
    assert "there is no file nosuch.png" in refused.stderr


def test_the_form_asks_for_every_field_of_a_request(
    system: dict[str, str], receipt: dict[str, Any], page: Page
) -> None:
    address = f"http://127.0.0.1:{system['SGPS_PREFECT_PORT']}"
    [deployment] = httpx.post(f"{address}/api/deployments/filter", json={}).json()
    assert deployment["name"] == "on-demand"
    page.goto(f"{address}/deployments/deployment/{deployment['id']}/run")
    for field in ("Task", "Requester", "Purpose", "Classes"):
        page.get_by_text(field, exact=True).first.wait_for()
    page.get_by_text("Title of the task").first.wait_for()
    page.get_by_text("Legal Basis (Optional)").first.wait_for()
    assert receipt["model_name"] == "two-lesions"


def _sgps(
    environment: dict[str, str], *arguments: str, cwd: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sgps.cli", *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=START_SECONDS + 60,
        check=False,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
