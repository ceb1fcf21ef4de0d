"""`sgps up` with everything: its deployment, asked over the API and by the form of Prefect's UI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from running import KINDS, running_system, sgps, write_task

if TYPE_CHECKING:
    from playwright.sync_api import Page

FORM_POLLS = 240

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


def test_a_classifier_is_made_by_the_form(
    system: dict[str, str], task_file: Path, page: Page
) -> None:
    address = f"http://127.0.0.1:{system['SGPS_PREFECT_PORT']}"
    [deployment] = httpx.post(f"{address}/api/deployments/filter", json={}).json()
    assert deployment["name"] == "on-demand"
    opened = address.replace("127.0.0.1", "localhost")
    page.goto(f"{opened}/deployments/deployment/{deployment['id']}/run")
    for words in ("Title of the task", "Why the classifier is wanted", "Legal Basis (Optional)"):
        page.get_by_text(words).first.wait_for()
    _fill(page, folder=task_file.parent)
    page.get_by_role("button", name="Submit").click()

    state = ""
    for _ in range(FORM_POLLS):
        runs = httpx.post(f"{address}/api/flow_runs/filter", json={}).json()
        states = [run["state_type"] for run in runs if _task_of(run) == "By the form"]
        state = states[0] if states else ""
        if state in ("COMPLETED", "FAILED", "CRASHED"):
            break
        page.wait_for_timeout(500)
    assert state == "COMPLETED"
    listed = json.loads(sgps(system, "models", "--json", cwd=task_file.parent).stdout)
    assert "models:/by-the-form/1" in {one["model_uri"] for one in listed}


def test_pages_of_other_sites_reach_no_server(system: dict[str, str]) -> None:
    prefect = f"http://127.0.0.1:{system['SGPS_PREFECT_PORT']}/api"
    mlflow = f"http://127.0.0.1:{system['SGPS_MLFLOW_PORT']}/api/2.0/mlflow"
    steward = f"http://127.0.0.1:{system['SGPS_PAGE_PORT']}/api"
    for address, fields in (
        (f"{prefect}/deployments/filter", {}),
        (f"{mlflow}/experiments/search", {"max_results": 1}),
        (f"{steward}/requests", {}),
    ):
        by_origin = httpx.post(address, json=fields, headers={"Origin": "http://evil.example"})
        assert by_origin.status_code == 403, address
        by_name = httpx.post(address, json=fields, headers={"Host": "evil.example"})
        assert by_name.status_code in (403, 421), address
    preflight = httpx.options(
        f"{prefect}/deployments/",
        headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert "access-control-allow-origin" not in preflight.headers


def _fill(page: Page, folder: Path) -> None:
    """Fill in Prefect's form: two classes with an image each."""
    add, fields = page.get_by_role("button", name="Add item"), page.locator("textarea")
    for buttons in (3, 5):
        add.last.click()
        add.nth(buttons - 1).wait_for()
    for place in (0, 2):
        add.nth(place).click()
    fields.nth(12).wait_for()
    facts = ["By the form", "Dr. Ada", "a test", "not stated"]
    classes = [words for kind in KINDS for words in (kind, "A drawn lesion.", f"{kind}.png")]
    for place, words in enumerate([*facts, *classes, str(folder)]):
        fields.nth(place).fill(words)


def _task_of(run: dict[str, Any]) -> str:
    return str(run["parameters"].get("request", {}).get("task", ""))
