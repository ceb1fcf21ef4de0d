"""Print how the page's HTTP API stands up: one request warm, eight at once, a hundred in a row.

    python docs/measure_requests.py --requests 100

Starts `python -m sgps.web` on a free port of 127.0.0.1 in a home of its own, with MLflow's embedded
store. Every request is 5 classes of 5 drawn images; every one is another request, so each is
synthesized, registered and recorded.
"""

from __future__ import annotations

import argparse
import io
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom

WAYS, SHOTS, SIDE = 5, 5, 256
AT_ONCE = 8


def main() -> None:
    """Start the page, ask, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100, help="how many in a row")
    requests = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as scratch, page(Path(scratch)) as (address, pid):
        client = httpx.Client(base_url=address, timeout=120, trust_env=False)
        images = upload(client)
        ask(client, images, "warm-up")
        warm = [ask(client, images, f"warm {number}") for number in range(5)]
        print(f"warm, submitted to registered: median {statistics.median(warm):.2f} s,"
              f" longest {max(warm):.2f} s of {len(warm)}")  # fmt: skip
        with ThreadPoolExecutor(AT_ONCE) as pool:
            began = time.perf_counter()
            took = list(pool.map(lambda n: ask(client, images, f"at once {n}"), range(AT_ONCE)))
        print(f"{AT_ONCE} at once: all registered after {time.perf_counter() - began:.2f} s,"
              f" longest {max(took):.2f} s, no error")  # fmt: skip
        resident = [memory(pid)]
        row = []
        for number in range(requests):
            row.append(ask(client, images, f"row {number}"))
            resident.append(memory(pid))
        settled = resident[len(resident) // 5 :]
        slope = np.polyfit(range(len(settled)), settled, 1)[0] if len(settled) > 2 else 0.0
        print(f"{requests} in a row: median {statistics.median(row):.2f} s, no error;"
              f" memory {resident[0]:.0f} MB before, {resident[-1]:.0f} MB after,"
              f" {slope:+.2f} MB a request after the first fifth")  # fmt: skip


@contextmanager
def page(home: Path) -> Iterator[tuple[str, int]]:
    """Address and process id of the page's server, once its generator is loaded."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"SGPS_HOME": str(home / "home"), "SGPS_PAGE_PORT": str(port)}
    address = f"http://127.0.0.1:{port}"
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "sgps.web"], env=environment, stdout=log, stderr=log
        ) as server,
    ):
        try:
            await_warm(address)
            yield address, server.pid
        finally:
            server.terminate()


def await_warm(address: str, seconds: float = 120.0) -> None:
    """Wait until the page answers and the generator is loaded."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/api/health", trust_env=False).json()["generator"] == "loaded":
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit("error: the page does not answer")


def upload(client: httpx.Client) -> dict[str, list[str]]:
    """Ids of the uploaded images of each class."""
    ids: dict[str, list[str]] = {}
    for kind in list(PHANTOM_CLASSES)[:WAYS]:
        for shot in range(SHOTS):
            drawn = io.BytesIO()
            rng = np.random.default_rng([shot, len(ids)])
            Image.fromarray(draw_phantom(kind, SIDE, rng)).save(drawn, "PNG")
            answer = client.post("/api/images", content=drawn.getvalue())
            answer.raise_for_status()
            ids.setdefault(kind, []).append(answer.json()["id"])
    return ids


def ask(client: httpx.Client, images: dict[str, list[str]], purpose: str) -> float:
    """Seconds from sending a request to its registered version."""
    body = {
        "task": "Timing",
        "requester": "docs",
        "purpose": purpose,
        "classes": [{"name": kind, "images": ids} for kind, ids in images.items()],
    }
    began = time.perf_counter()
    answer = client.post("/api/requests", json=body)
    while answer.status_code == 202 or answer.json().get("state") == "pending":
        time.sleep(0.05)
        answer = client.get(f"/api/requests/{answer.json()['request_id']}")
    answer.raise_for_status()
    assert answer.json()["receipt"]["version"]
    return time.perf_counter() - began


def memory(pid: int) -> float:
    """Resident memory of a process in MB (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
