"""Help, usage errors, exit codes and start-up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sgps.cli import application, models
from sgps.errors import OperatorError

COMMANDS = (
    "demo", "ingest", "validate", "train", "benchmark", "synthesize", "predict", "models", "doctor",
)  # fmt: skip
AUDIT_COMMANDS = ("list", "show", "verify")


def call(*arguments: str) -> int:
    return application.run(arguments)


def test_root_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command}" in text for command in (*COMMANDS, "audit"))
    assert "Not for clinical use" in " ".join(text.split())


@pytest.mark.parametrize(
    "command",
    [(name,) for name in COMMANDS] + [("audit", name) for name in AUDIT_COMMANDS],
    ids=" ".join,
)
def test_every_help_ends_with_an_example(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*command, "--help") == 0
    text = capsys.readouterr().out
    assert f"Example:\n    sgps {' '.join(command)}" in text


def test_no_command_prints_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert call() == 2
    assert "Commands:" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out.startswith("sgps ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("paint",), "paint"),
        (("predict",), "MODEL_URI"),
        (("benchmark", "--n-way", "five", "--manifest", "m.csv"), "--n-way"),
        (("models", "--nosuch"), "--nosuch"),
    ],
)
def test_usage_errors_are_one_line(
    arguments: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert named.casefold() in captured.err.casefold()


@pytest.mark.parametrize(
    ("failure", "code"),
    [(OperatorError("no disk"), 1), (ZeroDivisionError("odd"), 1), (KeyboardInterrupt(), 130)],
)
def test_exit_codes_of_what_the_caller_cannot_mend(
    failure: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(models, "write_result", fail)
    assert call("models") == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_a_wrong_environment_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SGPS_DEVICE", "abacus")
    assert call("models") == 2
    assert "SGPS_DEVICE" in capsys.readouterr().err


def _imported(command: list[str], of: set[str]) -> str:
    """Which of these modules a command imports, as a process of its own prints it."""
    script = (
        f"import sys; from sgps.cli.application import run; run({command!r}); "
        f"print('imported:', sorted({of!r} & set(sys.modules)))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert finished.stderr == ""
    return finished.stdout.rpartition("imported: ")[2].strip()


def test_help_imports_nothing_heavy() -> None:
    heavy = {"torch", "mlflow", "prefect", "pandas", "great_expectations", "sqlalchemy"}
    assert _imported(["--help"], heavy) == "[]"


def test_what_reads_records_does_without_torch(used_home: Path) -> None:
    assert _imported(["audit", "verify"], {"torch", "mlflow"}) == "['mlflow']"


def test_the_module_is_the_command() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "sgps.cli", "audit", "show", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode == 2
    assert finished.stderr == "error: the ledger has no entry 1\n"
