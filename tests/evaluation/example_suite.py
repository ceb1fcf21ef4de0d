"""A benchmark suite as `sgps benchmark` gives it, drawn from a seed instead of measured."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from sgps.evaluation import BenchmarkReport, Prediction
from sgps.evaluation.intervals import mean_interval, paired_difference
from sgps.evaluation.scores import MethodScores, MethodTally, QueryTruth

EPISODES, SHORT = 600, 60
ITERATIVE = {"fine_tuning"}
BASELINES = {
    "nearest_centroid": -0.055,
    "ridge_taps": -0.02,
    "lda": -0.03,
    "tip_adapter": -0.035,
    "simple_cnaps": -0.045,
    "fine_tuning": -0.04,
}
ABLATIONS = {"no_text": -0.012, "no_body": -0.03, "no_head": -0.06, "no_bias": 0.0}
CORRUPTIONS = {"blur": -0.09, "noise": -0.14, "jpeg": -0.02, "brightness": -0.05}
GAINS = {
    ("ISIC-FS", 1): 0.03,
    ("ISIC-FS", 5): 0.025,
    ("RareDerm-FS", 1): -0.0195,
    ("RareDerm-FS", 5): 0.01,
    ("Blood-FS", 1): 0.02,
    ("Blood-FS", 5): -0.04,
}
PLACES = {
    "ISIC-FS": ("ham10000", ("akiec", "df", "vasc"), {1: 0.6, 5: 0.74}),
    "RareDerm-FS": ("pad_ufes_20_subset", ("ACK", "BCC", "MEL", "SCC", "SEK"), {1: 0.33, 5: 0.45}),
    "Blood-FS": ("pbc", ("BA", "EO", "LY", "MO", "NE"), {1: 0.58, 5: 0.8}),
}


def build_suite(seed: int = 0) -> dict[str, Any]:
    """Three settings with 1 and 5 shots; SGPS, six baselines on two bases, four ablations.

    RareDerm-FS at 1 shot is a draw, Blood-FS at 5 shots a loss, the others are won. Fine-tuning ran
    60 of 600 episodes; Blood-FS has no subgroups, corruptions or images of absent classes.
    """
    rng = np.random.default_rng(seed)
    settings = [_setting(name, shots, rng) for name in PLACES for shots in (1, 5)]
    return {
        "suite": {
            "name": "example",
            "command": "sgps benchmark --suite --baselines all --out reports/benchmark",
            "commit": "4f1c2ab",
            "seed": seed,
            "started": "2026-05-04T09:30:00+00:00",
            "suite_digest": _digest("suite"),
            "versions": {"python": "3.11.9", "torch": "2.13.0", "numpy": "2.2.1"},
        },
        "settings": settings,
        "skipped": [
            {"name": "Histology-FS", "n_way": 5, "k_shot": 5, "reason": "4 classes of 6 groups"}
        ],
    }


def build_report(episodes: int = 12) -> BenchmarkReport:
    """A report whose scores are those of random predictions; one baseline ran 4 episodes less."""
    sharpness = {"sgps": 2.0, "public/ridge": 1.0, "meta/ridge": 1.5, "sgps/no_text": 1.2}
    counts = {name: episodes - 4 * (name == "meta/ridge") for name in sharpness}
    settings = {
        "name": "Drawn-FS",
        "dataset": "drawn",
        "role": "novel_test",
        "n_way": 3,
        "k_shot": 1,
        "n_query": 8,
        "episodes": episodes,
        "seed": 0,
        "resolution": 32,
        "data_digest": _digest("drawn"),
        "episodes_digest": _digest("episodes"),
        "methods": {name: {"sharpness": value} for name, value in sharpness.items()},
    }
    return BenchmarkReport(
        settings,
        {name: _scores(value, counts[name]) for name, value in sharpness.items()},
    )


def _scores(sharpness: float, episodes: int) -> MethodScores:
    tally = MethodTally()
    labels_Q = np.repeat(np.arange(3), 8)
    for episode in range(episodes):
        rng = np.random.default_rng(episode)
        truth = QueryTruth(labels_Q, np.arange(24), absent=6, corruptions=("blur", "jpeg"))
        logits_QN = rng.normal(size=(truth.count, 3))
        for start in (0, 30, 54):
            logits_QN[start + np.arange(24), labels_Q] += sharpness
        probs_QN = np.exp(logits_QN)
        probs_QN /= probs_QN.sum(1, keepdims=True)
        tally.add(Prediction(probs_QN, 0.2, 0.5), truth, ("a", "b", "c"))
    return tally.scores()


def _setting(name: str, shots: int, rng: np.random.Generator) -> dict[str, Any]:
    dataset, classes, levels = PLACES[name]
    rich = name != "Blood-FS"
    offsets = _offsets(GAINS[name, shots])
    difficulty = rng.normal(0, 0.09, EPISODES)
    runs = {
        method: np.clip(
            levels[shots]
            + offset
            + (difficulty + rng.normal(0, 0.035, EPISODES))[: _episodes_of(method)],
            0,
            1,
        )
        for method, offset in offsets.items()
        if not (method.endswith("tip_adapter") and not rich)
    }
    own = runs["sgps"]
    return {
        "settings": {
            "name": name,
            "dataset": dataset,
            "role": "novel_test",
            "n_way": len(classes),
            "k_shot": shots,
            "n_query": 10,
            "episodes": EPISODES,
            "seed": 0,
            "resolution": 128,
            "data_digest": _digest(dataset),
            "episodes_digest": _digest(f"{dataset}{shots}"),
            "command": f"sgps benchmark --setting {name} --k-shot {shots}",
            "methods": {method: {"ridge": 0.3, "taps": [5, 10, 14]} for method in runs},
        },
        "methods": {
            method: _metrics(method, run, classes, rng, rich) for method, run in runs.items()
        },
        "episodes_of": {method: len(run) for method, run in runs.items()},
        "paired": {
            method: {
                **dict(
                    zip(
                        ("difference", "low", "high"),
                        paired_difference(own[: len(run)], run),
                        strict=True,
                    )
                ),
                "episodes": len(run),
            }
            for method, run in runs.items()
            if method != "sgps"
        },
        "curves": {method: _curves(run, rng) for method, run in runs.items()},
        "subgroups": {method: _subgroups(run, name) for method, run in runs.items() if rich},
    }


def _offsets(gain: float) -> dict[str, float]:
    """Accuracy of each method, from that of the middling."""
    baselines = {
        f"{base}/{name}": offset + (0.0 if base == "meta" else -0.015)
        for base in ("public", "meta")
        for name, offset in BASELINES.items()
    }
    ablations = {f"sgps/{name}": gain + offset for name, offset in ABLATIONS.items()}
    return {"sgps": gain, **baselines, **ablations}


def _episodes_of(method: str) -> int:
    return SHORT if method.rpartition("/")[2] in ITERATIVE else EPISODES


def _metrics(
    method: str, run: np.ndarray, classes: tuple[str, ...], rng: np.random.Generator, rich: bool
) -> dict[str, Any]:
    slow = method.rpartition("/")[2] in ITERATIVE
    values = {
        "accuracy": run,
        "balanced_accuracy": run - 0.004,
        "auroc": np.clip(run + 0.2, 0, 1),
        "brier": 1.1 - run,
        "ece": np.abs(rng.normal(0.06, 0.01, len(run))),
        "seconds_per_synthesis": np.abs(rng.normal(48 if slow else 0.35, 0.04, len(run))),
        **{f"recall:{label}": np.clip(run + rng.normal(0, 0.1), 0, 1) for label in classes},
    }
    if method != "public/nearest_centroid":
        values["seconds_per_query"] = np.abs(rng.normal(0.006, 0.0004, len(run)))
    if rich:
        values["absent_auroc"] = (0.72 if method == "sgps" else 0.6) + 0.3 * (run - run.mean())
        values |= {f"accuracy:{kind}": run + drop for kind, drop in CORRUPTIONS.items()}
    return {metric: mean_interval(numbers)._asdict() for metric, numbers in values.items()}


def _curves(run: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    coverage = np.linspace(0.05, 1, 20)
    accuracy = 1 - (1 - run.mean()) * coverage ** rng.uniform(0.5, 0.9)
    confidence = np.linspace(0.3, 0.97, 11)
    return {
        "coverage": coverage.tolist(),
        "accuracy": accuracy.tolist(),
        "reliability": {
            "confidence": confidence.tolist(),
            "accuracy": (confidence ** rng.uniform(0.9, 1.5)).tolist(),
            "counts": [4, *range(120, 1120, 100)],
        },
    }


def _subgroups(run: np.ndarray, name: str) -> dict[str, Any]:
    def share(shift: float, queries: int) -> dict[str, Any]:
        mean, low, high = mean_interval(run + shift)
        shown = {"queries": queries, "images": 2000, "groups": 1400}
        return {"mean": mean, "low": low, "high": high, **shown}

    groups = {
        "sex": {"female": share(0.01, 9210), "male": share(-0.01, 8790)},
        "age": {"0-29": share(-0.04, 940), "30-59": share(0.0, 9060), "60+": share(0.01, 8000)},
    }
    if name == "RareDerm-FS":
        groups["skin_type"] = {"I-II": share(0.01, 14100), "III-VI": share(-0.05, 3900)}
    return groups


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
