"""Print how long each step of a warm synthesis takes: 5 classes, 5 drawn images each.

python docs/measure_times.py --repeats 10
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sgps import Synthesizer, service
from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom
from sgps.settings import Settings, apply_offline_defaults

WAYS, SHOTS, SIDE = 5, 5, 256


def main() -> None:
    """Synthesize and register repeatedly; print the median seconds of each step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=10)
    repeats = parser.parse_args().repeats
    apply_offline_defaults()
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(home=Path(scratch) / "home")
        folder = draw_support(Path(scratch) / "support")
        synthesizer = Synthesizer.load(settings.generator, device=settings.device)
        with service.open_workspace(settings) as workspace:
            for repeat in range(repeats + 1):
                marks: list[tuple[str, float]] = []
                service.synthesize_once(
                    service.SynthesisRequest.from_folder(folder, "docs", f"timing {repeat}"),
                    workspace,
                    synthesizer,
                    progress=lambda step, marks=marks: marks.append((step, time.perf_counter())),
                )
                marks.append(("all", time.perf_counter()))
                if repeat:
                    note(marks, seconds)
    for step, values in seconds.items():
        print(f"{step:20s} {statistics.median(values):7.3f} s")


def note(marks: list[tuple[str, float]], seconds: dict[str, list[float]]) -> None:
    """Add one request's steps; each lasts until the next begins."""
    for (step, began), (_, ended) in itertools.pairwise(marks):
        seconds.setdefault(step, []).append(ended - began)
    seconds.setdefault("all", []).append(marks[-1][1] - marks[0][1])


def draw_support(folder: Path) -> Path:
    """Draw a folder of images for each of five lesion kinds."""
    for kind in list(PHANTOM_CLASSES)[:WAYS]:
        (folder / kind).mkdir(parents=True)
        for number in range(SHOTS):
            pixels = draw_phantom(kind, SIDE, np.random.default_rng([number, len(kind)]))
            Image.fromarray(pixels).save(folder / kind / f"{number}.png")
    return folder


if __name__ == "__main__":
    main()
