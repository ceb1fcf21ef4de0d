"""What a plain ridge makes of the centre taps, beside the synthesizer, on the same episodes.

    python docs/measure_centre_taps.py --data FOLDER --settings blood-pbc --shots 5 --episodes 100

A ridge over all taps in closed form, without texts, whitening and tap weights; centre taps count
as far as the task is object-centred. On our body and on the public weights.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from sgps.errors import SgpsError
from sgps.evaluation import BenchmarkSuite
from sgps.evaluation.banked_synthesis import WHOLE, BankedSynthesis, Part
from sgps.evaluation.bases import META, PUBLIC, benchmark_bases
from sgps.evaluation.suite_run import run_suite
from sgps.synthesizer import Synthesizer
from sgps.synthesizer.head_parameters import HeadParameters

REPOSITORY = Path(__file__).resolve().parents[1]


def plain_ridge(parameters: HeadParameters) -> HeadParameters:
    """The head's parameters without anything that meta-training knows of it."""
    return replace(
        parameters,
        log_tap_weights_T=torch.zeros_like(parameters.log_tap_weights_T),
        text_weights_ND=torch.zeros_like(parameters.text_weights_ND),
        whitening=None,
        temperature_evidence=False,
    )


def main(arguments: list[str] | None = None) -> int:
    """Print one table a setting; return 2 where suite or data are wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", type=Path, default=REPOSITORY / "data" / "benchmark.yaml")
    parser.add_argument("--data", type=Path, required=True, help="folder of the manifests")
    parser.add_argument("--descriptions", type=Path, default=REPOSITORY / "data" / "descriptions")
    parser.add_argument("--settings", nargs="*", default=[], help="default: all of the suite")
    parser.add_argument("--shots", nargs="*", type=int, default=[], help="default: the suite's")
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args(arguments)
    try:
        synthesizer = Synthesizer.load("default")
        synthesizer.known_classes = None
        suite = BenchmarkSuite.load(options.suite)
        chosen = suite.select(options.settings, options.shots, options.episodes, None)
        plan = chosen.plan(options.data, descriptions=options.descriptions, corruptions=False)
        bases = benchmark_bases(synthesizer)
        ridges = [
            Part(f"{base}/ridge_all_taps", base, change=plain_ridge) for base in (META, PUBLIC)
        ]
        methods = [BankedSynthesis(synthesizer, bases, part) for part in (WHOLE, *ridges)]
        for outcome in run_suite(plan, methods):
            print(outcome.to_text(), flush=True)
    except SgpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
