"""Print, for a grid of constants of each training-free baseline, how it does on role novel_val.

    python docs/choose_baselines.py --data ../shared/data/broad

Every dataset under the folder with images of role novel_val is used, and no other image. Each line
gives the mean over datasets of accuracy and cross-entropy at 1 and 5 shots on both bases, the
temperatures of least cross-entropy (one for each number of shots, both bases together), and the
AUROC of telling images of absent classes by the highest probability and by the highest logit.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from scipy.special import log_softmax
from scipy.stats import rankdata

from sgps.datasets import DescriptionLibrary, read_manifest
from sgps.datasets.decoding import read_image
from sgps.datasets.manifest import resolve_image_path
from sgps.datasets.preprocessing import resize_and_crop
from sgps.episodes import ClassPool, Episode, EpisodeSpec, sample_episodes
from sgps.evaluation.baselines.cache_model import TipAdapter
from sgps.evaluation.baselines.centroids import (
    CentredCosineCentroid,
    CosineCentroid,
    NearestCentroid,
)
from sgps.evaluation.baselines.discriminants import LDA, LDAWithText, SimpleCNAPs
from sgps.evaluation.baselines.frozen import FrozenBaseline, Scores
from sgps.evaluation.baselines.linear import (
    LogisticRegression,
    RidgeLast,
    RidgeTaps,
    RidgeTapsWithText,
)
from sgps.evaluation.bases import benchmark_bases
from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import EpisodeInputs, Images
from sgps.evaluation.metrics import Floats, Ints
from sgps.synthesizer import Synthesizer

ROLE = "novel_val"
SHOTS = (1, 5)
MOST_WAYS, QUERIES = 5, 5
DESCRIPTIONS = Path(__file__).parents[1] / "data" / "descriptions"

GRIDS: Mapping[type[FrozenBaseline], Mapping[str, Sequence[object]]] = {
    NearestCentroid: {"taps": ["last", "all"], "centring": [0.0, 10.0], "views": [1, 4]},
    CosineCentroid: {"taps": ["last", "all"], "views": [1, 2, 4]},
    CentredCosineCentroid: {"taps": ["last", "all"], "centring": [0.0, 3.0], "views": [1, 4]},
    LDA: {"centring": [0.0, 3.0, 10.0], "views": [2, 4], "shrinkage": [0.15, 0.3, 0.6]},
    LDAWithText: {"shrinkage": [0.3, 0.6], "text_weight": [1.0, 2.0, 3.0, 4.0]},
    SimpleCNAPs: {"centring": [0.0, 10.0], "views": [1, 2], "ridge": [0.1, 0.3, 1.0]},
    LogisticRegression: {"centring": [0.0, 10.0], "inverse_penalty": [3.0, 10.0, 30.0, 100.0]},
    RidgeLast: {"centring": [0.0, 10.0], "views": [1, 4], "strength": [0.3, 1.0, 3.0]},
    RidgeTaps: {"centring": [0.0, 3.0, 10.0], "views": [1, 4], "strength": [0.3, 1.0, 3.0]},
    RidgeTapsWithText: {"strength": [0.3, 1.0, 3.0], "text_weight": [1.0, 2.0, 3.0, 4.0, 6.0]},
    TipAdapter: {
        "centring": [0.0, 3.0],
        "sharpness": [1.0, 3.0, 6.0],
        "text_weight": [0.0, 1.0, 2.0, 4.0],
    },
}
TEMPERATURES = np.geomspace(0.01, 64, 60)


@dataclass(frozen=True)
class Trial:
    """One episode with the answers: classes (Q,), -1 where the image is of an absent class."""

    dataset: str
    shots: int
    inputs: EpisodeInputs
    class_Q: Ints


def main() -> None:
    """Score every point of every grid."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of manifests")
    parser.add_argument("--episodes", type=int, default=20, help="a dataset and number of shots")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--generator", default="default", help="whose body is the meta base")
    options = parser.parse_args()
    started = time.process_time()
    synthesizer = Synthesizer.load(options.generator, device="cpu")
    bases = benchmark_bases(synthesizer)
    trials = list(read_trials(options.data, synthesizer.resolution, options.episodes, options.seed))
    print(f"{options}\n{len(trials)} episodes of {len({t.dataset for t in trials})} datasets")
    for kind, grid in GRIDS.items():
        for values in itertools.product(*grid.values()):
            constants = dict(zip(grid, values, strict=True))
            print(f"{kind.label:24s}", report(kind, constants, bases, trials), flush=True)
    print(f"CPU seconds: {time.process_time() - started:.0f}")


def report(
    kind: type[FrozenBaseline],
    constants: Mapping[str, object],
    bases: Sequence[TapBank],
    trials: Sequence[Trial],
) -> str:
    """One line of figures."""
    fields = [" ".join(f"{name}={value}" for name, value in constants.items()).ljust(48)]
    temperatures, absent = [], []
    for shots in SHOTS:
        few = [trial for trial in trials if trial.shots == shots]
        by_base = {}
        for base in bases:
            baseline = kind(base=base, **constants)  # type: ignore[arg-type]
            by_base[base.name] = [Outcome(baseline, baseline.score(t.inputs), t) for t in few]
        every = [outcome for outcomes in by_base.values() for outcome in outcomes]
        best = int(over_datasets(every, Outcome.losses).argmin())
        temperatures.append(f"{TEMPERATURES[best]:.3g}")
        for name, outcomes in by_base.items():
            accuracy = over_datasets(outcomes, Outcome.accuracies)[best]
            loss = over_datasets(outcomes, Outcome.losses)[best]
            fields.append(f"{name}@{shots} {100 * accuracy:5.2f} {loss:.4f}")
        absent.append(over_datasets(every, partial(Outcome.absent, temperature=best)))
    probability, logit = np.mean(absent, axis=0)
    fields.append(f"T {' '.join(temperatures)} | absent {probability:.3f} {logit:.3f}")
    return " | ".join(fields)


@dataclass(frozen=True)
class Outcome:
    """What a baseline made of one episode."""

    baseline: FrozenBaseline
    scores: Scores
    trial: Trial

    @cached_property
    def log_probs_TQN(self) -> Floats:
        """At each temperature."""
        logits_TQN = self.scores.logits_QN / TEMPERATURES[:, None, None]
        texts_QN = self.baseline.text_weight * self.scores.zero_shot_QN
        return np.asarray(log_softmax(logits_TQN + texts_QN, axis=2))

    def losses(self) -> Floats:
        """Cross-entropy at each temperature over the images of the task's classes."""
        known_Q = np.flatnonzero(self.trial.class_Q >= 0)
        picked_TQ = self.log_probs_TQN[:, known_Q, self.trial.class_Q[known_Q]]
        return np.asarray(-picked_TQ.mean(1))

    def accuracies(self) -> Floats:
        """Share of hits at each temperature among the images of the task's classes."""
        hits_TQ = self.log_probs_TQN.argmax(2) == self.trial.class_Q
        return np.asarray(hits_TQ[:, self.trial.class_Q >= 0].mean(1))

    def absent(self, temperature: int) -> tuple[float, float]:
        """AUROC of images of the task's classes against others: by probability, by logit."""
        known_Q = self.trial.class_Q >= 0
        probability_Q = self.log_probs_TQN[temperature].max(1)
        return auroc(probability_Q, known_Q), auroc(self.scores.logits_QN.max(1), known_Q)


def over_datasets(
    outcomes: Sequence[Outcome], figure: Callable[[Outcome], Floats | tuple[float, float]]
) -> Floats:
    """Mean over datasets of the mean over episodes."""
    by_dataset = defaultdict(list)
    for outcome in outcomes:
        by_dataset[outcome.trial.dataset].append(figure(outcome))
    return np.asarray(np.mean([np.mean(values, axis=0) for values in by_dataset.values()], axis=0))


def auroc(values_Q: Floats, positive_Q: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    """Probability that a positive's value is the higher, by ranks."""
    positives = int(positive_Q.sum())
    ranks = rankdata(values_Q)[positive_Q].sum() - positives * (positives + 1) / 2
    return float(ranks / positives / (len(values_Q) - positives))


def read_trials(folder: Path, resolution: int, count: int, seed: int) -> Iterator[Trial]:
    """Draw episodes of every dataset under the folder; one class at least stays out of each."""
    library = DescriptionLibrary.load(DESCRIPTIONS)
    for manifest in sorted(folder.rglob("manifest.csv")):
        frame = read_manifest(manifest)
        frame = frame[frame["role"] == ROLE].reset_index(drop=True)
        if frame.empty:
            continue
        dataset = manifest.parent.name
        pool = np.stack([_image(manifest.parent, file, resolution) for file in frame["file"]])
        for shots in SHOTS:
            classes = ClassPool.from_frame(frame, domain=dataset, min_groups=shots + 1)
            ways = min(MOST_WAYS, len(classes.labels) - 1)
            spec = EpisodeSpec(n_way=ways, k_shot=shots, n_query=QUERIES)
            for episode in sample_episodes([classes], spec, count=count, seed=seed):
                texts = library.texts(dataset, episode.classes)
                yield _trial(episode, shots, texts, pool, classes)


def _trial(
    episode: Episode, shots: int, texts: Sequence[str], pool: Images, classes: ClassPool
) -> Trial:
    query = [np.array(rows, dtype=np.int64) for rows in episode.query]
    absent = [
        group.rows[0]
        for label, groups in zip(classes.labels, classes.groups_by_label, strict=True)
        if label not in episode.classes
        for group in groups
    ]
    drawn = np.random.default_rng(episode.seed).permutation(absent)[: 2 * QUERIES]
    inputs = EpisodeInputs(
        class_names=episode.classes,
        descriptions=tuple(texts),
        pool=pool,
        support_rows=tuple(np.array(rows, dtype=np.int64) for rows in episode.support),
        query_rows=np.concatenate([*query, drawn]),
    )
    class_Q = np.repeat(np.arange(len(query)), [len(rows) for rows in query])
    return Trial(episode.domain, shots, inputs, np.concatenate([class_Q, np.full(len(drawn), -1)]))


def _image(folder: Path, file: str, size: int) -> Images:
    pixels = read_image(resolve_image_path(folder, file)).pixels
    return resize_and_crop(pixels, size).transpose(2, 0, 1)


if __name__ == "__main__":
    main()
