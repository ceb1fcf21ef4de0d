"""A classifier of drawn lesions in a real store, an MLflow server on that store, a browser."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from sgps.service import SynthesisReceipt

SHOTS = 2
SERVER_SECONDS = 60
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CLOSED_ASSISTANT = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""


@pytest.fixture(scope="session")
def descriptions() -> dict[str, str]:
    """Text of each class; that of the first would run in a page that does not escape it."""
    attack = "<script>alert(1)</script><img src=x onerror=\"document.title='taken'\">"
    return {
        "angioma": f"{attack} & {'long' * 40} {PHANTOM_CLASSES['angioma']}",
        "blue_nevus": PHANTOM_CLASSES["blue_nevus"],
        "melanoma": PHANTOM_CLASSES["melanoma"],
    }


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of this machine's browser; nothing is made for pages that nobody can open."""
    pytest.importorskip("playwright.sync_api")
    names = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no chromium on this machine")
    return found


@pytest.fixture(scope="session")
def store(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home of the store that the pages show."""
    return tmp_path_factory.mktemp("pages") / "home"


@pytest.fixture(scope="session")
def receipt(
    descriptions: dict[str, str], store: Path, tmp_path_factory: pytest.TempPathFactory
) -> SynthesisReceipt:
    """Of a classifier that the shipped generator synthesized from drawn lesions."""
    from sgps.service import SynthesisRequest, open_workspace, synthesize_request
    from sgps.settings import Settings

    folder = tmp_path_factory.mktemp("task") / "Drawn lesions"
    for number, (kind, text) in enumerate(descriptions.items()):
        (folder / kind).mkdir(parents=True)
        (folder / kind / "description.txt").write_text(text, encoding="utf-8")
        for shot in range(SHOTS):
            rng = np.random.default_rng([number, shot])
            Image.fromarray(draw_phantom(kind, 96, rng)).save(folder / kind / f"{shot}.png")
    request = SynthesisRequest.from_folder(folder, requester="demo", purpose="To see the pages.")
    with open_workspace(Settings(home=store)) as workspace:
        return synthesize_request(request, workspace)


@pytest.fixture(scope="session")
def card(receipt: SynthesisReceipt, store: Path) -> Path:
    """The card in the store."""
    return store / "mlflow" / "artifacts" / receipt.run_id / "artifacts" / "card.html"


@pytest.fixture(scope="session")
def mlflow_address(
    receipt: SynthesisReceipt, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of an MLflow server on the store."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("server")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", receipt.tracking_uri]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as server,
    ):
        try:
            _await_answer(address, server, folder / "log")
            yield address
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def _await_answer(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the MLflow server does not answer:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Headless Chromium.

    It ends with the module: while it lives, its event loop keeps asyncio.run out of this thread.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """A browser window without history, in which MLflow's chat panel stays closed."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(30_000)
        context.add_init_script(CLOSED_ASSISTANT)
        yield context


@pytest.fixture
def page(window: BrowserContext) -> Page:
    return window.new_page()
