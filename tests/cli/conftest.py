"""The command line as a function, and folders of drawn lesions to give to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_outcome import KINDS, Outcome, Sgps

from sgps.cli.application import run
from sgps.datasets import StoredDataset


@pytest.fixture
def sgps(
    sgps_home: Path,
    untrained_generator: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Sgps:
    """Run ``sgps ...`` in this process, on a home of its own and an untrained generator."""
    monkeypatch.setenv("SGPS_GENERATOR", str(untrained_generator))

    def call(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def lesions(phantom_root: Path, tmp_path: Path) -> Path:
    """A folder a class, three lesions each, and ``held_out`` beside it with one a class."""
    dataset = StoredDataset.open(phantom_root / "phantom")
    for kind in KINDS:
        rows = dataset.frame.index[dataset.frame["label"] == kind][:4]
        for number, row in enumerate(rows):
            place = tmp_path / ("lesions" if number < 3 else "held_out") / kind
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.png").write_bytes(dataset.png_bytes(int(row)))
    return tmp_path / "lesions"
