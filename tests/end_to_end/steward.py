"""The steward's page served by a process of its own, and hands to use it with."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from servers import free_port

from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

KINDS = ("angioma", "blue_nevus", "melanoma")
SHOTS = 3
_SECONDS = 60


class Server:
    """``python -m sgps.web`` on a port of its own, which can be stopped and started again."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self._log = folder / "log"
        self._environment = os.environ | {
            "SGPS_HOME": str(folder / "home"),
            "SGPS_PAGE_PORT": str(port),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers with its generator loaded."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sgps.web"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.address}/api/health", timeout=5) as answer:
                    if b"loaded" in answer.read():
                        return
            except OSError:
                pass
            time.sleep(0.2)
        self.stop()
        raise AssertionError(f"the page does not answer:\n{self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End it as an operator does, and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=30)
            self._process = None


def draw_pictures(folder: Path, *, side: int = 256, seed: int = 0) -> Path:
    """A folder a class with drawn lesions, ``new`` with one a class; EXIF in the first of each."""
    for number, kind in enumerate(KINDS):
        for shot in range(SHOTS + 1):
            drawn = Image.fromarray(
                draw_phantom(kind, side, np.random.default_rng([seed + number, shot]))
            )
            place = folder / (kind if shot < SHOTS else "new") / f"{kind}-{shot}.jpg"
            place.parent.mkdir(exist_ok=True)
            if shot == 0:
                drawn.getexif()[0x010F] = "A camera"
            drawn.save(place, quality=95, exif=drawn.getexif())
    dark = draw_phantom("melanoma", side, np.random.default_rng(9)) // 12
    Image.fromarray(dark).save(folder / "dark.png")
    return folder


def card(page: Page, number: int) -> Locator:
    """The card of a class, counted from 1."""
    return page.get_by_role("group", name=f"Class {number}", exact=True)


def drop(zone: Locator, files: list[Path]) -> None:
    """Drop files as a mouse does: a drop event that carries them."""
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


def fill(page: Page, pictures: Path, *, task: str, kinds: tuple[str, ...] = KINDS) -> None:
    """Fill the whole form; the requester only where nobody is signed in."""
    page.get_by_label("Name of the task").fill(task)
    if page.get_by_label("Your name").is_editable():
        page.get_by_label("Your name").fill("Dr. Ada")
    page.get_by_label("Why it is wanted").fill("To see the page.")
    for number, kind in enumerate(kinds, start=1):
        if number > 2:
            page.get_by_role("button", name="Add a class").click()
        fieldset = card(page, number)
        fieldset.get_by_label("Name of the class").fill(kind.replace("_", " "))
        fieldset.get_by_label("How it looks").fill(PHANTOM_CLASSES[kind])
        drop(fieldset.locator(".zone"), sorted((pictures / kind).iterdir()))
        fieldset.get_by_text(f"{SHOTS} pictures in this class").wait_for()
