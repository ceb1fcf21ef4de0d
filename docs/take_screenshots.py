"""Take the pictures of docs/images: the steward's page, the records, MLflow, Prefect's form.

`sgps up` runs in a home of its own; a headless Chromium does what a steward would do, on drawn
lesions, and opens what an auditor would open. System and home are gone afterwards.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom

KINDS = ("melanoma", "reticular_nevus", "basal_cell_carcinoma")
SHOTS = 4
SIDE = 256
TASK, MODEL = "Pigmented lesions", "pigmented-lesions"
LARGEST_FILE = 400_000
SETTLE_MILLISECONDS = 1500
WIDTH, PHONE = 1280, 375
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
ALL_DECODED = "images => Promise.all(images.map(image => image.decode()))"


class Photographer:
    """Opens pages in a browser and keeps pictures of them in ``folder``."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._browser = browser
        self._folder = folder

    @contextmanager
    def window(self, height: int, *, width: int = WIDTH, scale: float = 1) -> Iterator[Page]:
        """A page in a window of its own."""
        context: BrowserContext = self._browser.new_context(
            viewport={"width": width, "height": height}, device_scale_factor=scale
        )
        context.add_init_script(CLOSED_ASSISTANT)
        try:
            yield context.new_page()
        finally:
            context.close()

    def keep(self, name: str, picture: bytes) -> None:
        """Write a PNG of at most 400 kB; its colours are reduced to 256 where that is needed."""
        path = self._folder / f"{name}.png"
        image = Image.open(io.BytesIO(picture)).convert("RGB")
        image.save(path, optimize=True)
        if path.stat().st_size > LARGEST_FILE:
            image.quantize(256, kmeans=3).save(path, optimize=True)
        if path.stat().st_size > LARGEST_FILE:
            raise SystemExit(f"{path}: {path.stat().st_size:,} bytes, at most {LARGEST_FILE:,}")
        sys.stdout.write(f"{path}: {image.width} x {image.height}, {path.stat().st_size:,} bytes\n")


def main() -> None:
    """Read the command line and take the pictures."""
    arguments = _read_arguments()
    arguments.home.mkdir(parents=True)
    try:
        pictures = draw_pictures(arguments.home / "pictures")
        with (
            running_system(arguments.home) as addresses,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(
                executable_path=arguments.browser, args=BROWSER_ARGUMENTS
            )
            photographer = Photographer(browser, arguments.images)
            picture_steward(photographer, addresses["PAGE"], pictures)
            picture_records(photographer, addresses["PAGE"])
            picture_mlflow(photographer, addresses["MLFLOW"])
            picture_form(photographer, addresses["PREFECT"])
            browser.close()
    finally:
        shutil.rmtree(arguments.home)


def draw_pictures(folder: Path) -> Path:
    """Drawn lesions: a folder a class, and ``new`` with one a class; a dark one in the first."""
    for number, kind in enumerate(KINDS):
        for shot in range(SHOTS + 1):
            drawn = draw_phantom(kind, SIDE, np.random.default_rng([number, shot]))
            place = folder / (kind if shot < SHOTS else "new") / f"{kind}-{shot}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawn).save(place, quality=95)
    dark = draw_phantom(KINDS[0], SIDE, np.random.default_rng(9)) // 12
    Image.fromarray(dark).save(folder / "dark.png")
    return folder


@contextmanager
def running_system(home: Path) -> Iterator[Mapping[str, str]]:
    """Addresses of the servers of `sgps up`, which ends with the block."""
    ports = {name: _free_port() for name in ("PAGE", "MLFLOW", "PREFECT")}
    environment = os.environ | {
        "SGPS_HOME": str(home / "sgps"),
        **{f"SGPS_{name}_PORT": str(port) for name, port in ports.items()},
    }
    _sgps("up", "--detach", environment=environment, folder=home)
    try:
        yield {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    finally:
        _sgps("down", environment=environment, folder=home)


def picture_steward(photographer: Photographer, address: str, pictures: Path) -> None:
    """Make a classifier on the page, wide and on a telephone."""
    with photographer.window(900) as page:
        page.goto(address)
        _fill(page, pictures)
        first = page.get_by_role("group", name="Class 1", exact=True)
        first.get_by_label("Choose pictures of class 1").set_input_files(pictures / "dark.png")
        first.get_by_text("Look: Too dark").wait_for()
        photographer.keep("steward-class", first.screenshot())
        first.get_by_role("button", name="Remove dark.png").click()
        page.get_by_role("button", name="Make the classifier").click()
        page.locator("#receipt dl").first.wait_for()
        trial = page.locator("#trial")
        trial.locator("input[type=file]").set_input_files(sorted((pictures / "new").iterdir())[:2])
        page.locator(".answer meter").nth(len(KINDS)).wait_for()
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        photographer.keep("steward-result", trial.screenshot())
        link = page.url
    with photographer.window(740, width=PHONE, scale=2) as page:
        page.goto(link)
        page.locator("#receipt dl").first.wait_for()
        page.locator("#trial input[type=file]").set_input_files(
            sorted((pictures / "new").iterdir())[:1]
        )
        page.locator(".answer meter").first.wait_for()
        page.locator(".answer").first.scroll_into_view_if_needed()
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        photographer.keep("steward-phone", page.screenshot())


def picture_records(photographer: Photographer, address: str) -> None:
    """The list of records."""
    with photographer.window(760) as page:
        page.goto(f"{address}/audit")
        photographer.keep("steward-records", page.screenshot())


def picture_mlflow(photographer: Photographer, address: str) -> None:
    """The version, its card, a support image and a document of the generator."""
    with photographer.window(1500) as page:
        page.goto(f"{address}/#/models/{MODEL}/versions/1")
        page.get_by_text("synthesized classifier").first.wait_for()
        page.get_by_text("image_hashes").first.wait_for()
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        photographer.keep("mlflow-model-version", page.screenshot())
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="Model card").click()
        run = opened.value
        run.set_viewport_size({"width": WIDTH, "height": 1722})
        _await_images(run.frame_locator("iframe").locator("img"))
        run.wait_for_timeout(SETTLE_MILLISECONDS)
        photographer.keep("mlflow-card", run.screenshot())
        run.set_viewport_size({"width": WIDTH, "height": 760})
        for folder in ("support", KINDS[0].replace("_", "-")):
            run.get_by_text(folder, exact=True).first.click()
        run.get_by_text(".png").first.click()
        run.wait_for_timeout(SETTLE_MILLISECONDS)
        photographer.keep("mlflow-support-image", run.screenshot())
        run.get_by_text("generator", exact=True).first.click()
        run.get_by_text("benchmark.md").first.click()
        run.wait_for_timeout(SETTLE_MILLISECONDS)
        photographer.keep("mlflow-generator", run.screenshot())


def picture_form(photographer: Photographer, address: str) -> None:
    """Prefect's form for a request."""
    deployments = httpx.post(f"{address}/api/deployments/filter", json={}).json()
    [deployment] = [one for one in deployments if one["name"] == "on-demand"]
    with photographer.window(1240) as page:
        page.goto(f"{address}/deployments/deployment/{deployment['id']}/run")
        page.get_by_text("Title of the task").first.wait_for()
        page.get_by_role("button", name="Add item").click()
        page.get_by_text("How the class looks").first.wait_for()
        for place, words in enumerate([TASK, "Dr. Ada", "Feasibility study"]):
            page.locator("textarea").nth(place).fill(words)
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        photographer.keep("prefect-form", page.screenshot())


def _fill(page: Page, pictures: Path) -> None:
    page.get_by_label("Name of the task").fill(TASK)
    page.get_by_label("Your name").fill("Dr. Ada")
    page.get_by_label("Why it is wanted").fill("To see what a registered version looks like.")
    for number, kind in enumerate(KINDS, start=1):
        if number > 2:
            page.get_by_role("button", name="Add a class").click()
        fieldset = page.get_by_role("group", name=f"Class {number}", exact=True)
        fieldset.get_by_label("Name of the class").fill(kind.replace("_", " "))
        fieldset.get_by_label("How it looks").fill(PHANTOM_CLASSES[kind])
        chosen = fieldset.get_by_label(f"Choose pictures of class {number}")
        chosen.set_input_files(sorted((pictures / kind).iterdir()))
        fieldset.get_by_text(f"{SHOTS} pictures in this class").wait_for()


def _await_images(images: Locator) -> None:
    images.last.wait_for()
    images.evaluate_all(ALL_DECODED)


def _sgps(*arguments: str, environment: Mapping[str, str], folder: Path) -> None:
    command = [sys.executable, "-m", "sgps.cli", *arguments]
    subprocess.run(command, cwd=folder, env=dict(environment), check=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--images",
        type=Path,
        default=Path(__file__).parent / "images",
        help="folder to write into (default: docs/images)",
    )
    parser.add_argument(
        "--home",
        type=Path,
        default=Path(tempfile.gettempdir()) / "sgps-demo",
        help="folder of the system, whose name the pages show; is made and removed",
    )
    parser.add_argument(
        "--browser", default=shutil.which("chromium"), help="Chromium (default: that on the PATH)"
    )
    arguments = parser.parse_args()
    if arguments.browser is None:
        parser.error("no chromium on the PATH: give --browser")
    if arguments.home.exists():
        parser.error(f"{arguments.home} exists: remove it, or give another --home")
    arguments.images.mkdir(parents=True, exist_ok=True)
    return arguments


if __name__ == "__main__":
    main()
