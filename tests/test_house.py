"""Rules of the house that no single room can keep."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
PACKAGES = sorted(
    path
    for top in ("sgps", "flows")
    for path in (REPOSITORY / top).rglob("__init__.py")
    if "__pycache__" not in path.parts
)
MODULES = sorted(path for top in ("sgps", "flows") for path in (REPOSITORY / top).rglob("*.py"))
PIPELINE = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMETERS = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))


def test_imports_go_down_only() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    finished = subprocess.run(
        [lint_imports, "--no-cache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_public_names_are_sorted_and_there(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assigned = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
    ]
    for names in assigned:
        constants = sorted(name for name in names if name.isupper())
        classes = sorted(name for name in names if name[0].isupper() and not name.isupper())
        others = sorted(name for name in names if not name[0].isupper())
        assert names == [*constants, *classes, *others]
        module = ".".join(path.relative_to(REPOSITORY).parent.parts)
        imported = __import__(module, fromlist=names)
        assert all(hasattr(imported, name) for name in names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_modules_are_short_and_well_named(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert not re.search(r"util|helper|manager", path.stem)


def test_the_environment_is_read_in_one_place() -> None:
    readers = {
        str(path.relative_to(REPOSITORY))
        for path in MODULES
        if re.search(r"os\.getenv|os\.environ(\.get|\[)", path.read_text(encoding="utf-8"))
    }
    allowed = {"sgps/settings.py", "sgps/datasets/expectations.py"}
    assert readers <= allowed


def test_no_pickle() -> None:
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"pickle", "cloudpickle", "joblib", "dill"} & set(names), path


@pytest.mark.parametrize("stage", PIPELINE)
def test_pipeline_stages_name_what_exists(stage: str) -> None:
    content = PIPELINE[stage]
    for part in re.split(r"&&|\n", content["cmd"]):
        words = shlex.split(part.replace("${", "{"))
        if words[:1] == ["python"]:
            assert words[1] == "-m"
            assert (REPOSITORY / Path(*words[2].split("."))).with_suffix(".py").is_file()
        elif words[:1] == ["sgps"]:
            from sgps.cli.application import run

            assert run([words[1], "--help"]) == 0
        else:
            assert words[0] == "mkdir"
    produced = {
        str(next(iter(out)) if isinstance(out, dict) else out)
        for other in PIPELINE.values()
        for kind in ("outs", "metrics", "plots")
        for out in other.get(kind, [])
    }
    for needed in content["deps"]:
        assert needed in produced or (REPOSITORY / needed).exists()
    for name in content.get("params", []):
        assert name in PARAMETERS


def test_pipeline_has_every_step() -> None:
    assert list(PIPELINE) == ["ingest", "validate", "episodes", "train", "evaluate"]
    assert "metrics" in PIPELINE["evaluate"]
    assert "plots" in PIPELINE["evaluate"]


def test_parameters_make_requests() -> None:
    from flows.retrain import RetrainRequest
    from sgps.service.benchmarking import EpisodeRequest
    from sgps.service.datasets import SourceRequest
    from sgps.training import MetaTrainingConfig

    SourceRequest.model_validate(PARAMETERS["ingest"])
    MetaTrainingConfig.model_validate(PARAMETERS["train"])
    EpisodeRequest.model_validate({**PARAMETERS["episodes"], "index": "episodes.json"})
    retraining = RetrainRequest.model_validate(PARAMETERS["retrain"])
    assert retraining.episodes.role != "novel_test"


def test_dvc_calls_nobody() -> None:
    config = configparser.ConfigParser()
    config.read_string((REPOSITORY / ".dvc" / "config").read_text().replace("    ", ""))
    assert config["core"]["analytics"] == "false"


@pytest.mark.parametrize("target", ["setup", "test", "lint", "check", "demo", "pipeline", "clean"])
def test_make_knows_its_targets(target: str) -> None:
    listed = subprocess.run(
        ["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=30
    )
    assert re.search(rf"^{target}\b", listed.stdout, re.MULTILINE)


def test_continuous_integration_runs_the_tests() -> None:
    script = REPOSITORY / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert re.search(r"^make test\b", script.read_text(), re.MULTILINE)


def test_servers_listen_on_this_machine_only() -> None:
    services = yaml.safe_load((REPOSITORY / "infra" / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


README = REPOSITORY / "README.md"


@pytest.mark.skipif(not README.exists(), reason="there is no README yet")
def test_readme_names_every_command_and_setting() -> None:
    from typer.main import get_command

    from sgps.cli.application import app
    from sgps.settings import Settings

    text = README.read_text(encoding="utf-8") + "".join(
        path.read_text(encoding="utf-8") for path in (REPOSITORY / "docs").rglob("*.md")
    )
    for command in get_command(app).commands:
        assert f"sgps {command}" in text, command
    for name in Settings.model_fields:
        assert f"SGPS_{name.upper()}" in text, name
