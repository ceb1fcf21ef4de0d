"""The steward's page as people use it: dropped pictures, keyboard alone, a telephone."""

from __future__ import annotations

import os
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
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

KINDS = ("angioma", "blue_nevus", "melanoma")
SHOTS = 3
SECONDS = 60


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a class with three drawn lesions each, ``new`` with one a class; EXIF in one."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, kind in enumerate(KINDS):
        for shot in range(SHOTS + 1):
            drawn = Image.fromarray(draw_phantom(kind, 256, np.random.default_rng([number, shot])))
            place = folder / (kind if shot < SHOTS else "new") / f"{kind}-{shot}.jpg"
            place.parent.mkdir(exist_ok=True)
            exif = Image.Exif()
            if shot == 0:
                exif[0x010F] = "A camera"
            drawn.save(place, quality=95, exif=exif)
    dark = draw_phantom("melanoma", 256, np.random.default_rng(9)) // 12
    Image.fromarray(dark).save(folder / "dark.png")
    return folder


@pytest.fixture(scope="module")
def address(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the page, served by a process of its own with the shipped generator."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("page")
    environment = os.environ | {"SGPS_HOME": str(folder / "home"), "SGPS_PAGE_PORT": str(port)}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "sgps.web"], env=environment, stdout=log, stderr=log
        ) as server,
    ):
        try:
            _await_answer(f"http://127.0.0.1:{port}", server, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)


def _await_answer(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api/health", timeout=5) as answer:
                if b"loaded" in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(f"the page does not answer:\n{log.read_text()[-2000:]}")


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What goes wrong while the page is open: errors, dialogs, refused addresses."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: heard.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    return heard


@pytest.fixture
def requests(page: Page) -> list[str]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


@pytest.fixture
def opened(address: str, complaints: list[str], requests: list[str], page: Page) -> Page:
    page.goto(address, wait_until="load")
    page.get_by_role("group", name="Class 2").wait_for()
    return page


def _card(page: Page, number: int) -> Locator:
    return page.get_by_role("group", name=f"Class {number}", exact=True)


def _drop(zone: Locator, files: list[Path]) -> None:
    """Drop files as a mouse does: a drop event that carries them."""
    import base64

    content = [(file.name, base64.b64encode(file.read_bytes()).decode()) for file in files]
    zone.evaluate(
        """(zone, files) => {
          const carried = new DataTransfer();
          for (const [name, text] of files) {
            const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
            carried.items.add(new File([bytes], name));
          }
          zone.dispatchEvent(
            new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
        }""",
        content,
    )


def _fill(page: Page, pictures: Path, *, task: str, kinds: tuple[str, ...] = KINDS) -> None:
    page.get_by_label("Name of the task").fill(task)
    page.get_by_label("Your name").fill("Dr. Ada")
    page.get_by_label("Why it is wanted").fill("To see the page.")
    for number, kind in enumerate(kinds, start=1):
        if number > 2:
            page.get_by_role("button", name="Add a class").click()
        card = _card(page, number)
        card.get_by_label("Name of the class").fill(kind.replace("_", " "))
        card.get_by_label("How it looks").fill(PHANTOM_CLASSES[kind])
        _drop(card.locator(".zone"), sorted((pictures / kind).iterdir()))
        card.get_by_text(f"{SHOTS} pictures in this class").wait_for()


def test_from_dropped_pictures_to_a_prediction(
    opened: Page, pictures: Path, address: str, complaints: list[str], requests: list[str]
) -> None:
    _fill(opened, pictures, task="Drawn lesions")
    first = _card(opened, 1)
    assert first.locator("img").count() == SHOTS
    assert "EXIF" in first.locator(".findings").first.inner_text()
    opened.get_by_role("button", name="Make the classifier").click()
    result = opened.get_by_role("region", name="Your classifier")
    result.get_by_text("drawn-lesions, version 1").wait_for()
    link = result.get_by_role("link", name="Open this version in MLflow")
    assert link.get_attribute("href") == ("http://127.0.0.1:5000/#/models/drawn-lesions/versions/1")
    _drop(opened.locator("#trial .zone"), sorted((pictures / "new").iterdir()))
    opened.get_by_text("3 pictures looked at.").wait_for()
    answers = opened.locator(".answer")
    assert answers.count() == len(KINDS)
    for kind in KINDS:
        answer = answers.filter(has_text=f"{kind}-{SHOTS}.jpg")
        assert kind.replace("_", " ") in answer.locator(".verdict").inner_text()
        assert answer.locator("meter").count() == len(KINDS)
        assert answer.locator("figure.nearest img").evaluate("image => image.decode()") is None
    assert complaints == []
    assert [url for url in requests if not url.startswith(address)] == []
