"""Flat images with a manifest, and small methods to be judged on them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from sgps.evaluation import BenchmarkSettings, Prediction

COLOURS = ("red", "green", "blue")
HEADER = ("file", "label", "group", "role", "sex", "age", "text", "extra")


def write_manifest(folder: Path, *, images: int = 16, noisy: bool = False) -> Path:
    """Three classes, two images a group; two further ones of role meta_val; one of meta_train."""
    rng = np.random.default_rng(0)
    rows = []
    kinds = [(label, "novel_test") for label in COLOURS]
    kinds += [("grey", "meta_val"), ("white", "meta_val")]
    for place, (label, role) in enumerate(kinds):
        for number in range(images):
            colour = rng.integers(90, 150, 3)
            if label in COLOURS:
                colour[place] += 30
            else:
                colour[:] = 120 if label == "grey" else 250
            pixels = np.broadcast_to(colour, (40, 48, 3)).astype(np.int64)
            if noisy:
                pixels = pixels + rng.integers(-20, 20, pixels.shape)
            file = f"{label}-{number}.png"
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / file)
            person = (("F", "M", "")[number % 3], str(20 + 10 * (number % 7)))
            skin = f"biopsed=False;fitzpatrick={1 + number % 6}.0;lesion_id=4"
            note = f"{label} note {number}" if number % 2 else ""
            rows.append((file, label, f"{label}-{number // 2}", role, *person, note, skin))
    rows.append(("absent.png", "black", "black", "meta_train", "", "", "", ""))
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows)
    return folder / "manifest.csv"


def ask(manifest: Path, **changes: object) -> BenchmarkSettings:
    numbers = {"n_way": 3, "k_shot": 2, "n_query": 3, "episodes": 8, "resolution": 32} | changes
    return BenchmarkSettings(manifest=manifest, **{"role": "novel_test", **numbers})


class Chance:
    name = "chance"

    def __init__(self, **details: object) -> None:
        self.asked = []
        self._details = details

    def details(self):
        return self._details

    def predict(self, episode):
        self.asked.append(episode)
        shape = (len(episode.query_rows), episode.n_way)
        return Prediction(np.full(shape, 1 / episode.n_way), 0.001)


class ColourCentroids(Chance):
    """Nearest mean colour; an image is as familiar as it is near."""

    name = "sgps"

    def predict(self, episode):
        self.asked.append(episode)
        means_ND = np.stack([images.mean((0, 2, 3)) for images in episode.support_images])
        colours_QD = episode.query_images.mean((2, 3))
        distances_QN = ((colours_QD[:, None] - means_ND) ** 2).sum(-1)
        scores_QN = np.exp(-(distances_QN - distances_QN.min(1, keepdims=True)) / 500)
        probs_QN = scores_QN / scores_QN.sum(1, keepdims=True)
        return Prediction(probs_QN, 0.002, 0.01, -distances_QN.min(1))


class IterativeChance(Chance):
    name = "chance_iterative"
    iterative = True
