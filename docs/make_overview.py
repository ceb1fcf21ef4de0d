"""Draw docs/images/overview.png: what goes in, what is synthesized, what it answers.

Everything in the picture is computed: lesions are drawn, a generator synthesizes a classifier from
them, the tiles are tensors of that classifier and the bars its probabilities for other lesions.
"""

from __future__ import annotations

import argparse
import io
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from numpy.typing import NDArray
from PIL import Image

from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom
from sgps.synthesizer import ClassSupport, SynthesizedClassifier, Synthesizer, Task

COLOURS = {"melanoma": "#b3364b", "reticular_nevus": "#8c5a2b", "basal_cell_carcinoma": "#0b6e99"}
KINDS = tuple(COLOURS)
SHOTS = 2
SUPPORT_SEED, QUERY_SEED = 3, 11
IMAGE_SIDE = 192
LARGEST_FILE = 300_000

WIDTH, HEIGHT, PIXELS_PER_INCH = 12.4, 4.8, 150
ROWS = (2.98, 1.66, 0.34)
SIDE = 1.1
PANEL_HEIGHT = 1.24
LEFT, LEFT_WIDTH = 0.15, 4.75
MIDDLE, MIDDLE_WIDTH = 5.32, 2.0
RIGHT, RIGHT_WIDTH = 7.76, 4.5
LINE_LENGTH, LINES = 29, 4
TILES, TILE_SIDE, TILE_WEIGHTS = (3, 4), 0.4, 16
INK, SOFT, EDGE, PANEL, ACCENT = "#17202a", "#55606d", "#d3dae1", "#f6f8fa", "#0b5c8a"


@dataclass(frozen=True, eq=False)
class Outcome:
    """Images as drawn, the classifier, and its probabilities (Q, N) for the queries."""

    support: dict[str, list[NDArray[np.uint8]]]
    queries: dict[str, NDArray[np.uint8]]
    classifier: SynthesizedClassifier
    probabilities: NDArray[np.float32]


def main() -> None:
    """Read the command line, synthesize, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent / "images" / "overview.png",
        help="picture to write (default: docs/images/overview.png)",
    )
    parser.add_argument(
        "--generator", default="default", help="generator: name or path (default: default)"
    )
    arguments = parser.parse_args()
    outcome = synthesize_and_predict(arguments.generator)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_small(draw(outcome), arguments.output)


def synthesize_and_predict(generator: str) -> Outcome:
    """Synthesize a classifier from drawn lesions and let it classify one other of each class."""
    support = {kind: [_lesion(kind, SUPPORT_SEED, shot) for shot in range(SHOTS)] for kind in KINDS}
    queries = {kind: _lesion(kind, QUERY_SEED, 0) for kind in KINDS}
    classes = [
        ClassSupport(kind, tuple(images), PHANTOM_CLASSES[kind]) for kind, images in support.items()
    ]
    classifier = Synthesizer.load(generator).synthesize(Task("Pigmented lesions", tuple(classes)))
    probabilities = classifier.predict_proba(list(queries.values()))
    return Outcome(support, queries, classifier, probabilities)


def draw(outcome: Outcome) -> bytes:
    """PNG of the picture."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=PIXELS_PER_INCH, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    _draw_support(axes, outcome.support)
    _draw_generator(axes, outcome.classifier)
    _draw_predictions(axes, outcome)
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT), aspect="auto")
    note = "Drawn lesions, not patients. Not for clinical use."
    axes.text(WIDTH - 0.14, 0.08, note, fontsize=10, color=SOFT, ha="right")
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def write_small(picture: bytes, path: Path) -> None:
    """Write a PNG of at most 300 kB; its colours are reduced to 256 where that is needed."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.save(path, optimize=True)
    if path.stat().st_size > LARGEST_FILE:
        image.quantize(256, kmeans=3).save(path, optimize=True)
    if path.stat().st_size > LARGEST_FILE:
        raise SystemExit(f"{path}: {path.stat().st_size:,} bytes, at most {LARGEST_FILE:,} wanted")
    sys.stdout.write(f"{path}: {image.width} x {image.height}, {path.stat().st_size:,} bytes\n")


def _lesion(kind: str, seed: int, number: int) -> NDArray[np.uint8]:
    place = KINDS.index(kind)
    return draw_phantom(kind, IMAGE_SIDE, np.random.default_rng([seed, place, number]))


def _draw_support(axes: Axes, support: dict[str, list[NDArray[np.uint8]]]) -> None:
    _title(axes, LEFT, "A few images and a text per class")
    for base, (kind, images) in zip(ROWS, support.items(), strict=True):
        _panel(axes, LEFT, base, LEFT_WIDTH)
        for number, pixels in enumerate(images):
            _image(axes, pixels, LEFT + 0.07 + number * (SIDE + 0.07), base)
        text = LEFT + 0.07 + len(images) * (SIDE + 0.07) + 0.06
        top = base + PANEL_HEIGHT - 0.08
        _name(axes, text, top, kind, weight="bold")
        axes.text(
            text,
            top - 0.24,
            _first_lines(PHANTOM_CLASSES[kind]),
            fontsize=10,
            color=INK,
            va="top",
            linespacing=1.15,
        )


def _draw_generator(axes: Axes, classifier: SynthesizedClassifier) -> None:
    centre = MIDDLE + MIDDLE_WIDTH / 2
    tensors = classifier.state_dict()
    millions = sum(tensor.numel() for tensor in tensors.values()) / 1e6
    box = FancyBboxPatch(
        (MIDDLE, 3.28), MIDDLE_WIDTH, 0.94, boxstyle="round,pad=0,rounding_size=0.1"
    )
    box.set(facecolor=ACCENT, edgecolor="none")
    axes.add_patch(box)
    axes.text(centre, 3.9, "Generator", fontsize=15, weight="bold", color="white", ha="center")
    axes.text(
        centre, 3.42, "one forward pass,\nno gradient step", fontsize=11, color="white", ha="center"
    )
    _arrow(axes, (LEFT + LEFT_WIDTH + 0.04, 3.75), (MIDDLE - 0.04, 3.75))
    _arrow(axes, (centre, 3.24), (centre, 2.88))
    _draw_tiles(axes, classifier, centre, top=2.82)
    axes.text(
        centre,
        1.28,
        f"{millions:.1f} million weights",
        fontsize=14,
        weight="bold",
        color=INK,
        ha="center",
        va="top",
    )
    name = classifier.architecture.removeprefix("tf_").replace("efficientnet", "EfficientNet")
    label = f"every tensor of an\n{name.replace('_lite', '-Lite')} classifier"
    axes.text(centre, 0.98, label, fontsize=11, color=SOFT, ha="center", va="top")
    _arrow(axes, (MIDDLE + MIDDLE_WIDTH - 0.08, 2.2), (RIGHT - 0.04, 2.2))


def _draw_tiles(axes: Axes, classifier: SynthesizedClassifier, centre: float, top: float) -> None:
    """Corners of dense kernels from all depths of the network, each on its own colour scale."""
    tensors = classifier.body_state_dict().values()
    kernels = [
        tensor.flatten(1)[:TILE_WEIGHTS, :TILE_WEIGHTS].numpy()
        for tensor in tensors
        if tensor.ndim == 4 and min(tensor.flatten(1).shape) >= TILE_WEIGHTS
    ]
    rows, columns = TILES
    chosen = np.linspace(0, len(kernels) - 1, rows * columns).round().astype(int)
    step = TILE_SIDE + 0.05
    for place, index in enumerate(chosen):
        row, column = divmod(place, columns)
        left = centre + (column - columns / 2) * step + 0.025
        base = top - (row + 1) * step
        extent = (left, left + TILE_SIDE, base, base + TILE_SIDE)
        bound = float(np.abs(kernels[index]).max())
        axes.imshow(
            kernels[index],
            extent=extent,
            cmap="RdBu_r",
            vmin=-bound,
            vmax=bound,
            interpolation="nearest",
        )


def _draw_predictions(axes: Axes, outcome: Outcome) -> None:
    _title(axes, RIGHT, "What the classifier says of new images")
    names = outcome.classifier.class_names
    for base, pixels, row in zip(
        ROWS, outcome.queries.values(), outcome.probabilities, strict=True
    ):
        _panel(axes, RIGHT, base, RIGHT_WIDTH)
        _image(axes, pixels, RIGHT + 0.07, base)
        for line, (name, value) in enumerate(zip(names, row, strict=True)):
            middle = base + PANEL_HEIGHT * (0.8 - 0.3 * line)
            weight = "bold" if value == row.max() else "normal"
            _name(axes, RIGHT + 1.27, middle, name, weight=weight, va="center")
            _bar(axes, RIGHT + 3.07, middle, float(value), COLOURS[name])
            axes.text(
                RIGHT + RIGHT_WIDTH - 0.08,
                middle,
                f"{100 * value:.1f} %",
                fontsize=10.5,
                color=INK,
                weight=weight,
                ha="right",
                va="center",
            )


def _bar(axes: Axes, left: float, middle: float, value: float, colour: str) -> None:
    length, thickness = 0.76, 0.16
    for width, shade in ((length, EDGE), (length * value, colour)):
        axes.add_patch(Rectangle((left, middle - thickness / 2), width, thickness, color=shade))


def _title(axes: Axes, left: float, text: str) -> None:
    axes.text(left, 4.4, text, fontsize=14, weight="bold", color=INK)


def _name(
    axes: Axes, left: float, height: float, kind: str, *, weight: str, va: str = "top"
) -> None:
    label = kind.replace("_", " ")
    colour = COLOURS[kind]
    axes.text(left, height, label, fontsize=10.5, color=colour, weight=weight, va=va)


def _panel(axes: Axes, left: float, base: float, width: float) -> None:
    panel = FancyBboxPatch(
        (left, base), width, PANEL_HEIGHT, boxstyle="round,pad=0,rounding_size=0.08"
    )
    panel.set(facecolor=PANEL, edgecolor=EDGE, linewidth=1, zorder=-1)
    axes.add_patch(panel)


def _image(axes: Axes, pixels: NDArray[np.uint8], left: float, base: float) -> None:
    low = base + (PANEL_HEIGHT - SIDE) / 2
    axes.imshow(pixels, extent=(left, left + SIDE, low, low + SIDE), interpolation="antialiased")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = "-|>,head_length=7,head_width=4.5"
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle=style, color=SOFT, linewidth=2, shrinkA=0, shrinkB=0)
    )


def _first_lines(text: str) -> str:
    lines = textwrap.wrap(text, LINE_LENGTH, break_on_hyphens=False)
    if len(lines) <= LINES:
        return "\n".join(lines)
    return "\n".join(lines[:LINES]).rstrip(" ,;(") + " …"


if __name__ == "__main__":
    main()
