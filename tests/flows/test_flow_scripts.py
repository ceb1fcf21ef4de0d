"""Flows as scripts, the demo, and the deployments."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.deployments import build_deployments
from flows.retrain import RetrainRequest
from flows.running import run_script
from sgps.cli.application import run as run_command
from sgps.errors import InputError

SCRIPTS = (
    "build_episodes", "deployments", "evaluate", "meta_train", "retrain", "synthesize",
    "validate_data",
)  # fmt: skip
REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_help_has_an_example(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"flows.{name}").main()
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "example:\n" in text
    assert f"python -m flows.{name}" in text.split("example:")[1]


def test_errors_of_scripts_are_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> dict[str, object]:
        print("chatter of a library")
        raise InputError("field x is wrong", expected="y")

    assert run_script(fail) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == "error: field x is wrong; expected y"
    assert run_script(lambda: {"a": 1}) == 0
    assert json.loads(capsys.readouterr().out) == {"a": 1}


def test_an_unwritable_home_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SGPS_HOME", str(tmp_path / "file" / "home"))
    assert run_script(dict) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("prefect_server")
def test_a_failed_flow_leaves_one_line(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from flows import synthesize

    monkeypatch.setattr(sys, "argv", ["synthesize", str(tmp_path / "nosuch.yaml")])
    assert synthesize.main() == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "nosuch.yaml" in captured.err
    assert "Traceback" not in captured.err


def test_deployments_need_a_server(home: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "flows.deployments"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode == 2
    assert "PREFECT_API_URL" in finished.stderr.splitlines()[-1]


def test_parameters_of_the_repository_make_the_deployments() -> None:
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    on_demand, scheduled = build_deployments(RetrainRequest.model_validate(content["retrain"]))
    assert (on_demand.flow_name, on_demand.name) == ("synthesize", "on-demand")
    assert (scheduled.flow_name, scheduled.name) == ("retrain", "scheduled")
    assert [schedule.schedule.cron for schedule in scheduled.schedules] == ["0 3 * * 0"]
    [alone] = build_deployments(None)
    assert alone.name == "on-demand"
    form = on_demand._parameter_openapi_schema.model_dump()["definitions"]
    assert {"SynthesisRequest", "ClassRequest"} <= set(form)


@pytest.mark.usefixtures("prefect_server")
def test_the_demo_again_gives_the_same_version(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    versions = []
    for _ in range(2):
        assert run_command(["demo", "--shots", "2", "--json"]) == 0
        facts = json.loads(capfd.readouterr().out)
        versions.append(facts["version"])
        assert facts["accuracy"] > 0.5
        assert Path(facts["validation_report"]).is_file()
    assert versions == ["1", "1"]
