"""Print how settings of the iterative baselines, and of easyfsl's, fare on novel_val.

Reads rows of the role novel_val alone, 3 ways, 1 and 5 shots, on one of the two bases. `heads` are
those that read cached features; `networks` train the body; every setting is run at temperature 1,
and the temperature printed is that of least cross-entropy over all queries.

    python docs/choose_iterative_baselines.py --data ../shared/data/broad/medical --grid heads
    python docs/choose_iterative_baselines.py --data ../shared/data/broad/medical --grid networks \
        --base meta --episodes 3 --resolution 128
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from sgps.datasets import read_manifest
from sgps.datasets.decoding import read_image
from sgps.datasets.preprocessing import resize_and_crop
from sgps.episodes import ClassPool, EpisodeSpec, sample_episodes
from sgps.evaluation.baselines.easyfsl_methods import EasyFslMethod
from sgps.evaluation.baselines.fine_tuning import (
    FineTuneLinear,
    FineTuner,
    FineTuneRidge,
    FineTuning,
    HeadOnly,
)
from sgps.evaluation.baselines.meta_learning import Anil, Maml
from sgps.evaluation.bases import META, PUBLIC, benchmark_bases
from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import EpisodeInputs, Method
from sgps.synthesizer import Synthesizer

ROLE = "novel_val"
DATASETS = ("defungi", "eye_disease_fundus", "mmotu_ovarian_us", "smids_sperm")
WAYS, QUERIES, SHOTS = 3, 15, (1, 5)
TEMPERATURES = np.geomspace(0.02, 20, 61)

Labelled = tuple[EpisodeInputs, NDArray[np.int64]]


def main() -> None:
    """Print one row a setting: accuracy at each number of shots, cross-entropy, temperature."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of dataset folders")
    parser.add_argument("--datasets", nargs="+", default=DATASETS)
    parser.add_argument("--grid", choices=("heads", "networks"), default="heads")
    parser.add_argument("--base", choices=(PUBLIC, META), default=PUBLIC)
    parser.add_argument("--generator", default="default", help="whose body is the meta base")
    parser.add_argument("--episodes", type=int, default=8, help="of each dataset and shots")
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bases = benchmark_bases(Synthesizer.load(options.generator, device="cpu"))
    base = next(each for each in bases if each.name == options.base)
    candidates = dict(
        head_candidates(base) if options.grid == "heads" else network_candidates(base)
    )
    scores: dict[tuple[str, int], list[tuple[NDArray[np.float64], NDArray[np.int64]]]] = {}
    seconds = dict.fromkeys(candidates, 0.0)
    for dataset in options.datasets:
        images, pool = load(options.data / dataset, options.resolution)
        for shots in SHOTS:
            for episode, labels_Q in draw(images, pool, shots, options.episodes, options.seed):
                for setting, method in candidates.items():
                    began = time.process_time()
                    probs_QN = method.predict(episode).probs_QN
                    seconds[setting] += time.process_time() - began
                    scores.setdefault((setting, shots), []).append((probs_QN, labels_Q))
    print(f"{len(options.datasets) * options.episodes} episodes a row and number of shots")
    print("| setting | 1 shot | 5 shots | cross-entropy | temperature | CPU s |")
    print("|---|---|---|---|---|---|")
    for setting in candidates:
        print(table_row(setting, [scores[setting, shots] for shots in SHOTS], seconds[setting]))
    print(f"CPU seconds in all: {time.process_time():.0f}")


def head_candidates(base: TapBank) -> Iterator[tuple[str, Method]]:
    """Settings of the methods that read cached features, at temperature 1."""
    for views in (1, 4):
        for classifier, normalise in (
            ("PrototypicalNetworks", False),
            ("SimpleShot", False),
            ("SimpleShot", True),
        ):
            method = EasyFslMethod(base, classifier, normalise, views, temperature=1.0)
            yield f"{method.name} normalise {normalise} views {views}", method
    starts = (("zero", 1.0), ("prototypes", 3.0), ("ridge", 3.0))
    for first_tap, (start, scale), views in itertools.product((0, -1), starts, (1, 4)):
        begun = f"{start} views {views} taps {'all' if first_tap == 0 else 'last'}"
        for rate in (3e-3, 3e-2, 1e-1):
            head = HeadOnly(base, 100, rate, 1e-2, start, scale, first_tap, views, temperature=1.0)
            yield f"{head.name} {begun} rate {rate:g}", head
        for rate in (1.0, 3.0, 10.0, 30.0) if start != "ridge" else ():
            anil = Anil(base, 10, rate, start, scale, first_tap, views, temperature=1.0)
            yield f"{anil.name} {begun} rate {rate:g}", anil


def network_candidates(base: TapBank) -> Iterator[tuple[str, Method]]:
    """Settings of the methods that train the body, at temperature 1."""
    for body_rate in (1e-4, 3e-4, 1e-3):
        tuner = FineTuner(base, FineTuning(body_rate=body_rate))
        linear = FineTuneLinear(tuner, temperature=1.0)
        yield f"{linear.name} body {body_rate:g}", linear
        for first_tap in (0, -1):
            ridge = FineTuneRidge(tuner, first_tap=first_tap, temperature=1.0)
            taps = "all" if first_tap == 0 else "last"
            yield f"{ridge.name} body {body_rate:g} taps {taps}", ridge
    for body_rate in (1e-4, 3e-4, 1e-3, 1e-2):
        maml = Maml(base, body_rate=body_rate, temperature=1.0)
        yield f"{maml.name} body {body_rate:g}", maml


def load(folder: Path, side: int) -> tuple[NDArray[np.uint8], ClassPool]:
    """Return the images (M, 3, side, side) of the role, and its classes."""
    manifest = read_manifest(folder / "manifest.csv")
    frame = manifest[manifest["role"] == ROLE].reset_index(drop=True)
    pixels = (read_image(folder / file).pixels for file in frame["file"])
    images = [resize_and_crop(picture, side).transpose(2, 0, 1) for picture in pixels]
    pool = ClassPool.from_frame(frame, domain=folder.name, min_groups=max(SHOTS) + 1)
    return np.stack(images), pool


def draw(
    images: NDArray[np.uint8], pool: ClassPool, shots: int, episodes: int, seed: int
) -> Iterator[Labelled]:
    """Yield episodes and the queries' classes (Q,)."""
    spec = EpisodeSpec(n_way=WAYS, k_shot=shots, n_query=QUERIES)
    for episode in sample_episodes([pool], spec, count=episodes, seed=seed):
        inputs = EpisodeInputs(
            class_names=episode.classes,
            descriptions=("",) * WAYS,
            pool=images,
            support_rows=tuple(np.array(rows) for rows in episode.support),
            query_rows=np.concatenate([np.array(rows) for rows in episode.query]),
        )
        yield inputs, np.repeat(np.arange(WAYS), [len(rows) for rows in episode.query])


def table_row(
    setting: str,
    by_shots: list[list[tuple[NDArray[np.float64], NDArray[np.int64]]]],
    seconds: float,
) -> str:
    """Return accuracy at each number of shots, and the temperature of least cross-entropy."""
    accuracies = [
        np.mean([(probs_QN.argmax(1) == labels_Q).mean() for probs_QN, labels_Q in answers])
        for answers in by_shots
    ]
    answers = [answer for answers in by_shots for answer in answers]
    logits_QN = np.log(np.concatenate([probs_QN for probs_QN, _ in answers]) + 1e-300)
    labels_Q = np.concatenate([labels_Q for _, labels_Q in answers])
    losses = [
        -log_softmax(logits_QN / temperature, axis=1)[np.arange(len(labels_Q)), labels_Q].mean()
        for temperature in TEMPERATURES
    ]
    best = int(np.argmin(losses))
    shares = " | ".join(f"{100 * accuracy:.1f}" for accuracy in accuracies)
    figures = f"{losses[best]:.3f} | {TEMPERATURES[best]:.2g} | {seconds:.0f}"
    return f"| {setting} | {shares} | {figures} |"


if __name__ == "__main__":
    main()
