"""`sgps up` with everything: its deployment, asked over the API and by the form of Prefect's UI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from running import running_system, sgps, write_task

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("chromium")]


@pytest.fixture(scope="module")
def task_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("form"), "Two lesions")


@pytest.fixture(scope="module")
def system(
    untrained_generator: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Environment of a system that runs: its home, its ports."""
    settings = {"SGPS_GENERATOR": str(untrained_generator)}
    with running_system(tmp_path_factory.mktemp("whole"), settings) as environment:
        yield environment


@pytest.fixture(scope="module")
def receipt(system: dict[str, str], task_file: Path) -> dict[str, Any]:
    """Of a classifier that the deployment made for ``sgps synthesize --remote``."""
    made = sgps(system, "synthesize", str(task_file), "--remote", "--json", cwd=task_file.parent)
    assert made.returncode == 0, made.stderr
    return dict(json.loads(made.stdout))


def test_asked_again_the_deployment_gives_the_same_version(
    system: dict[str, str], task_file: Path, receipt: dict[str, Any]
) -> None:
    again = sgps(system, "synthesize", str(task_file), "--remote", "--json", cwd=task_file.parent)
    assert json.loads(again.stdout) == receipt
    listed = sgps(system, "models", "--json", cwd=task_file.parent)
    assert [one["model_uri"] for one in json.loads(listed.stdout)] == [receipt["model_uri"]]


def test_what_the_deployment_refuses_is_told(
    system: dict[str, str], task_file: Path, tmp_path: Path
) -> None:
    text = task_file.read_text().replace("melanoma.png", "nosuch.png")
    (tmp_path / "task.yaml").write_text(text)
    (tmp_path / "angioma.png").write_bytes((task_file.parent / "angioma.png").read_bytes())
    refused = sgps(system, "synthesize", str(tmp_path / "task.yaml"), "--remote", cwd=tmp_path)
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
