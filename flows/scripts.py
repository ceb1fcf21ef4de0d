"""Command lines of the flows: ``python -m flows.<name>``."""

from __future__ import annotations

import argparse
from pathlib import Path


def make_parser(flow: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser whose help ends with an example."""
    return argparse.ArgumentParser(
        prog=f"python -m flows.{flow}",
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Which stored datasets, and where the report on them goes."""
    parser.add_argument("datasets", nargs="*", help="datasets; none: all in the root")
    parser.add_argument("--root", type=Path, default=Path("data/shards"), help="their folder")
    add_report_argument(parser)
    parser.add_argument(
        "--rules", type=Path, help="YAML with validation rules; default: data/validation.yaml"
    )


def add_report_argument(parser: argparse.ArgumentParser) -> None:
    """Where the report on the datasets goes."""
    parser.add_argument(
        "--report", type=Path, default=Path("reports/validation.html"), help="validation report"
    )


def add_params_argument(parser: argparse.ArgumentParser, section: str) -> None:
    """The YAML file whose ``section`` holds the flow's parameters."""
    parser.add_argument(
        "--params",
        type=Path,
        default=Path("params.yaml"),
        help=f"YAML file with the parameters under the key {section!r}",
    )
