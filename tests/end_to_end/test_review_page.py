"""The review on the page of a record: a reviewer decides by keyboard, a steward cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from running import write_task
from servers import free_port

from sgps.errors import UnknownNameError
from sgps.service import RequesterIdentity, SynthesisRequest, open_workspace, synthesize_once
from sgps.service.review import submit_for_review
from sgps.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

PASSWORD = "a-long-password"
ACCOUNTS = ",".join(
    f"{name}:{PASSWORD}:{role}" for name, role in (("ada", "steward"), ("rita", "reviewer"))
)
SECONDS = 60
MODEL = "models:/two-lesions/1"

OpenAs = Callable[[str], "Page"]


@pytest.fixture(scope="module")
def home(
    chromium: str, untrained_generator: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A home with one version, which Ada asked for on the page and which waits for review."""
    folder = tmp_path_factory.mktemp("review")
    request = SynthesisRequest.from_yaml(
        write_task(folder / "task", "Two lesions"), requester="ada"
    )
    settings = Settings(home=folder / "home", generator=str(untrained_generator))
    with open_workspace(settings) as workspace:
        identity = RequesterIdentity("ada", authentication="basic")
        synthesize_once(request, workspace, identity=identity)
        submit_for_review(MODEL, workspace, reviewer="ada", authentication="basic")
    return settings.home_folder


@pytest.fixture(scope="module")
def address(
    home: Path, untrained_generator: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of the page over that home, with accounts."""
    port = free_port()
    log = tmp_path_factory.mktemp("page") / "log"
    environment = os.environ | {
        "SGPS_HOME": str(home),
        "SGPS_PAGE_PORT": str(port),
        "SGPS_BASIC_AUTH": ACCOUNTS,
        "SGPS_GENERATOR": str(untrained_generator),
    }
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "sgps.web"], env=environment, stdout=output, stderr=output
        ) as server,
    ):
        try:
            _await_answer(f"http://127.0.0.1:{port}", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)


def _await_answer(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the page does not answer:\n{log.read_text()[-2000:]}")


@pytest.fixture
def complaints() -> list[str]:
    """What goes wrong while a page is open."""
    return []


@pytest.fixture
def open_as(browser: Browser, address: str, complaints: list[str]) -> Iterator[OpenAs]:
    """Opens the record of the synthesis for an account, on a telephone."""
    contexts = []

    def open_record(name: str) -> Page:
        context = browser.new_context(
            viewport={"width": 360, "height": 740},
            http_credentials={"username": name, "password": PASSWORD},
        )
        contexts.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.goto(f"{address}/audit/1", wait_until="load")
        return page

    yield open_record
    for context in contexts:
        context.close()


def _approved(home: Path) -> str | None:
    with open_workspace(Settings(home=home)) as workspace:
        try:
            return workspace.registry.describe("models:/two-lesions@approved").model_uri
        except UnknownNameError:
            return None


def test_a_reviewer_approves_by_keyboard_and_the_alias_moves(
    open_as: OpenAs, home: Path, complaints: list[str]
) -> None:
    assert _approved(home) is None
    steward = open_as("ada")
    assert steward.locator("#review-state").inner_text() == "pending review"
    assert steward.get_by_role("button").count() == 0

    page = open_as("rita")
    named = [each for each in page.get_by_role("button").all_inner_texts() if each]
    assert named == ["Approve", "Reject", "Archive for good"]
    page.get_by_role("button", name="Approve").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("alert").inner_text() == "Say in a sentence why."
    assert page.evaluate("document.activeElement.id") == "review-reason"
    page.keyboard.type("Looked at <b>50</b> cases.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("Recorded. The state is now: approved.").wait_for()
    assert page.locator("#review-state").inner_text() == "approved"
    assert page.get_by_role("button").all_inner_texts() == ["Archive for good"]
    decision = page.locator("#review-history tr").last
    assert "rita" in decision.inner_text()
    assert "signed in as reviewer" in decision.inner_text()
    assert "Looked at <b>50</b> cases." in decision.inner_text()
    assert page.evaluate("document.activeElement.id") == "review"
    widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    assert page.evaluate(widths) == [360, 360]
    shown = page.locator("#review-history").inner_text()
    page.reload()
    assert page.locator("#review-history").inner_text() == shown
    assert _approved(home) == MODEL
    assert complaints == []
