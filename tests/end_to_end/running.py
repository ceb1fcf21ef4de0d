"""A whole system that `sgps up` starts for a test, and commands run beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from servers import free_port

from sgps.datasets.phantoms import draw_phantom

KINDS = ("angioma", "melanoma")
START_SECONDS = 170


def write_task(folder: Path, title: str) -> Path:
    """A task file with a drawn lesion of each of ``KINDS``."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = []
    for number, kind in enumerate(KINDS):
        image = draw_phantom(kind, 96, np.random.default_rng(number))
        Image.fromarray(image).save(folder / f"{kind}.png")
        classes.append(f"  - {{name: {kind}, images: [{kind}.png]}}")
    lines = [f"task: {title}", "requester: Dr. Ada", "purpose: a test", "classes:", *classes]
    (folder / "task.yaml").write_text("\n".join(lines) + "\n")
    return folder / "task.yaml"


@contextmanager
def running_system(
    folder: Path, settings: Mapping[str, str], *flags: str
) -> Iterator[dict[str, str]]:
    """Environment of a system that runs until the end of the block: its home, its ports.

    ``flags`` go to ``sgps up``.
    """
    environment = os.environ | {
        "SGPS_HOME": str(folder / "home"),
        **{f"SGPS_{name}_PORT": str(free_port()) for name in ("PAGE", "MLFLOW", "PREFECT")},
        **settings,
    }
    environment.pop("PREFECT_HOME")
    wait = ("--wait", str(START_SECONDS))
    started = sgps(environment, "up", "--detach", *wait, *flags, cwd=folder)
    assert started.returncode == 0, started.stderr
    try:
        yield environment
    finally:
        stopped = sgps(environment, "down", cwd=folder)
        assert stopped.returncode == 0, stopped.stderr


def sgps(
    environment: Mapping[str, str], *arguments: str, cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Run ``sgps`` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "sgps.cli", *arguments],
        env=dict(environment),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=START_SECONDS + 60,
        check=False,
    )
