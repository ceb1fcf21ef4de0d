"""Take the pictures of docs/images that show a registered version and its card.

A classifier is synthesized from drawn lesions into a store of its own, an MLflow server is started
on that store, and a headless Chromium opens the pages. Store and server are gone afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, sync_playwright

from sgps import service
from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom
from sgps.settings import Settings, apply_offline_defaults

KINDS = ("melanoma", "reticular_nevus", "basal_cell_carcinoma")
SHOTS = 4
IMAGE_SIDE = 192
LARGEST_FILE = 400_000
SERVER_SECONDS = 120
SETTLE_MILLISECONDS = 1500
WIDTH = 1280
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


def main() -> None:
    """Read the command line and take the three pictures."""
    arguments = _read_arguments()
    apply_offline_defaults()
    arguments.home.mkdir(parents=True)
    try:
        receipt = synthesize_drawn_task(arguments.home)
        artifacts = arguments.home / "mlflow" / "artifacts" / receipt.run_id / "artifacts"
        with (
            serve(receipt.tracking_uri, arguments.home) as address,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(
                executable_path=arguments.browser, args=BROWSER_ARGUMENTS
            )
            for name, picture in {
                "mlflow-model-version": picture_version(browser, address, receipt),
                "mlflow-card": picture_card_in_run(browser, address, receipt),
                "card": picture_card(browser, artifacts / "card.html"),
            }.items():
                write_small(picture, arguments.images / f"{name}.png")
            browser.close()
    finally:
        shutil.rmtree(arguments.home)


def synthesize_drawn_task(home: Path) -> service.SynthesisReceipt:
    """Synthesize a classifier from drawn lesions and register it in the store under ``home``."""
    folder = home / "Pigmented lesions"
    for number, kind in enumerate(KINDS):
        place = folder / kind.replace("_", " ")
        place.mkdir(parents=True)
        (place / "description.txt").write_text(PHANTOM_CLASSES[kind], encoding="utf-8")
        for shot in range(SHOTS):
            pixels = draw_phantom(kind, IMAGE_SIDE, np.random.default_rng([number, shot]))
            Image.fromarray(pixels).save(place / f"{shot}.png")
    request = service.SynthesisRequest.from_folder(
        folder, requester="demo", purpose="Show what a registered version looks like."
    )
    with service.open_workspace(Settings(home=home)) as workspace:
        return service.synthesize_request(request, workspace)


@contextlib.contextmanager
def serve(tracking_uri: str, folder: Path) -> Iterator[str]:
    """Address of an MLflow server on the store, which ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--backend-store-uri", tracking_uri]
    with (
        (folder / "server.log").open("wb") as log,
        subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as server,
    ):
        try:
            _await_answer(address, server)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def picture_version(browser: Browser, address: str, receipt: service.SynthesisReceipt) -> bytes:
    """PNG of the model version's page."""
    with _window(browser, 1240) as window:
        page = window.new_page()
        page.goto(f"{address}/#/models/{receipt.model_name}/versions/{receipt.version}")
        page.get_by_text("synthesized classifier").wait_for()
        page.get_by_text("image_hashes").wait_for()
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        return page.screenshot()


def picture_card_in_run(browser: Browser, address: str, receipt: service.SynthesisReceipt) -> bytes:
    """PNG of the run's artifacts with the card opened, reached from the version's page."""
    with _window(browser, 1722) as window:
        page = window.new_page()
        page.goto(f"{address}/#/models/{receipt.model_name}/versions/{receipt.version}")
        with window.expect_page() as opened:
            page.get_by_role("link", name="Model card").click()
        card = opened.value.frame_locator("iframe")
        _await_images(card.locator("img"))
        opened.value.wait_for_timeout(SETTLE_MILLISECONDS)
        return opened.value.screenshot()


def picture_card(browser: Browser, card: Path) -> bytes:
    """PNG of the card's file, from its head to the end of the support images."""
    with _window(browser, 900, width=900, scale=1.5) as window:
        page = window.new_page()
        page.goto(card.as_uri())
        _await_images(page.locator("img"))
        end = page.locator("section[aria-labelledby=classes]").bounding_box()
        assert end is not None
        page.set_viewport_size({"width": 900, "height": round(end["y"] + end["height"]) + 8})
        return page.screenshot()


def write_small(picture: bytes, path: Path) -> None:
    """Write a PNG of at most 400 kB; its colours are reduced to 256 where that is needed."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.save(path, optimize=True)
    if path.stat().st_size > LARGEST_FILE:
        image.quantize(256, kmeans=3).save(path, optimize=True)
    if path.stat().st_size > LARGEST_FILE:
        raise SystemExit(f"{path}: {path.stat().st_size:,} bytes, at most {LARGEST_FILE:,} wanted")
    sys.stdout.write(f"{path}: {image.width} x {image.height}, {path.stat().st_size:,} bytes\n")


def _window(
    browser: Browser, height: int, *, width: int = WIDTH, scale: float = 1
) -> BrowserContext:
    window = browser.new_context(
        viewport={"width": width, "height": height}, device_scale_factor=scale
    )
    window.add_init_script(CLOSED_ASSISTANT)
    return window


def _await_images(images: Locator) -> None:
    images.last.wait_for()
    images.evaluate_all(ALL_DECODED)


def _await_answer(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the MLflow server does not answer")


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
        help="folder of the store, whose name the pages show; is made and removed",
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
