"""Run ``sgps synthesize`` and ``sgps predict`` on real images and print a table.

For each of three tasks (dermoscopy, chest X-ray, blood cells): draw a support set and images of
other people from a manifest, write the task file a data steward would write, call the two
commands, count.

    python docs/run_real_tasks.py ../shared/data/classification
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from sgps.datasets import DescriptionLibrary, read_manifest
from sgps.episodes import ClassPool, Episode, EpisodeSpec, sample_episode

SGPS = Path(sys.executable).with_name("sgps")
REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True)
class RealTask:
    """A task drawn from the ``novel_test`` classes of one dataset."""

    title: str
    dataset: str
    ways: int
    queries: int


TASKS = (
    RealTask("dermoscopy: akiec, df, vasc", "ham10000", 3, 20),
    RealTask("chest X-ray: normal, bacterial, viral", "cxr_pediatric_kermany", 3, 20),
    RealTask("blood cells: 5 of 8 types", "pbc_10_per_class", 5, 5),
)
SHOTS = 5


def main() -> None:
    """Print one Markdown row a task."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with a folder for each dataset")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| task | classes x support images | model | synthesize | predict | correct |")
    print("|---|---|---|---|---|---|")
    for task in TASKS:
        print(run(task, options.data / task.dataset, options.seed), flush=True)


def run(task: RealTask, folder: Path, seed: int) -> str:
    """Synthesize and predict once; a Markdown row."""
    frame = read_manifest(folder / "manifest.csv")
    pool = ClassPool.from_frame(
        frame, domain=task.dataset, roles=("novel_test",), min_groups=SHOTS + 1
    )
    spec = EpisodeSpec(n_way=task.ways, k_shot=SHOTS, n_query=task.queries)
    episode = sample_episode([pool], spec, seed=seed, number=0)
    files = [str((folder / name).resolve()) for name in frame["file"]]
    with tempfile.TemporaryDirectory() as scratch:
        task_file = Path(scratch) / "task.yaml"
        task_file.write_text(yaml.safe_dump(task_content(task, episode, files)))
        started = time.perf_counter()
        receipt = json.loads(call("synthesize", str(task_file), "--json"))
        synthesized = time.perf_counter()
    queries = [(files[row], label) for label, row in query_rows(episode)]
    predicted = json.loads(
        call("predict", receipt["model_uri"], *(file for file, _ in queries), "--json")
    )["predictions"]
    finished = time.perf_counter()
    hits = sum(one["label"] == label for one, (_, label) in zip(predicted, queries, strict=True))
    return (
        f"| {task.title} | {task.ways} x {SHOTS} | `{receipt['model_uri']}` "
        f"| {receipt['seconds']:.2f} s ({synthesized - started:.1f} s with start-up) "
        f"| {finished - synthesized:.1f} s for {len(queries)} images "
        f"| {hits} of {len(queries)} ({100 * hits / len(queries):.0f} %) |"
    )


def task_content(task: RealTask, episode: Episode, files: list[str]) -> dict[str, object]:
    """The task file of an episode's support set."""
    library = DescriptionLibrary.load(REPOSITORY / "data" / "descriptions")
    texts = library.texts(task.dataset, episode.classes)
    return {
        "task": task.title.replace(":", " -"),
        "requester": "docs",
        "purpose": "figures of the documentation",
        "classes": [
            {"name": name, "description": text, "images": [files[row] for row in rows]}
            for name, text, rows in zip(episode.classes, texts, episode.support, strict=True)
        ],
    }


def query_rows(episode: Episode) -> list[tuple[str, int]]:
    """(label, row) of every query image."""
    return [
        (label, row)
        for label, rows in zip(episode.classes, episode.query, strict=True)
        for row in rows
    ]


def call(*arguments: str) -> str:
    """Standard output of an ``sgps`` command that must succeed."""
    finished = subprocess.run([SGPS, *arguments], capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SystemExit(finished.stderr)
    return finished.stdout


if __name__ == "__main__":
    main()
