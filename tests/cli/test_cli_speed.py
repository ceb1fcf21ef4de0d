"""``sgps benchmark --speed``: what it refuses before it measures anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_outcome import Sgps


@pytest.mark.parametrize("option", ["--manifest", "--suite"])
def test_it_is_one_of_three(sgps: Sgps, option: str) -> None:
    sgps("benchmark", "--speed", option, "file").assert_one_line_error("--speed with")


def test_a_report_that_cannot_be_written(sgps: Sgps, tmp_path: Path) -> None:
    sgps("benchmark", "--speed", "--json", tmp_path).assert_one_line_error("cannot be written")


def test_an_unknown_generator(sgps: Sgps) -> None:
    sgps("benchmark", "--speed", "--generator", "nosuch").assert_one_line_error("nosuch")
