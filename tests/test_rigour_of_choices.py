"""What methods and constants are chosen by reads images of role novel_val, and no others.

The choosing scripts run on a folder whose images of role novel_test cannot be decoded and bear the
labels of novel_val. Suites, parameters, pipeline and trainings name the role nowhere where
something is trained or chosen.
"""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from scripts import load_script

from sgps.datasets.sources.phantom import PhantomSource
from sgps.errors import ImageError
from sgps.evaluation import BenchmarkSettings, BenchmarkSuite
from sgps.evaluation.benchmark_data import load_benchmark_data
from sgps.training import MetaTrainingConfig

REPOSITORY = Path(__file__).parents[1]
TEST_ROLE = "novel_test"
CHOOSING_SUITE = REPOSITORY / "data" / "benchmark_novel_val.yaml"
CHOOSING_SCRIPTS = sorted((REPOSITORY / "docs").glob("choose_*.py"))
GENERATORS = REPOSITORY / "sgps" / "synthesizer" / "generators"
PARAMETERS = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.fixture
def chosen_on(tmp_path: Path) -> Callable[[bool], Path]:
    """Write a folder as the choosing scripts read it; images of test rows cannot be decoded.

    With ``tested``, the rows of role novel_test bear the labels of novel_val.
    """

    def write(tested: bool) -> Path:
        folder = tmp_path / ("with" if tested else "without") / "phantom"
        folder.mkdir(parents=True)
        kinds = PhantomSource(
            classes=5, images_per_class=7, size=32, novel_val=5, roles={"meta_train": 1.0}
        )
        rows = []
        for number, record in enumerate(kinds.records()):
            roles = ("novel_test", "novel_val") if tested else ("novel_val",)
            for role in roles:
                file = f"{role}-{number}.png"
                (folder / file).write_bytes(record.read() if role == "novel_val" else b"poison")
                rows.append((file, record.label, f"{role}-{record.group}", role))
        with (folder / "manifest.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file", "label", "group", "role"), *rows])
        return folder

    return write


def test_constants_of_fast_baselines_are_chosen_without_test_rows(
    chosen_on: Callable[[bool], Path],
) -> None:
    script = load_script("choose_baselines")
    with_rows, without_rows = (
        list(script.read_trials(chosen_on(tested).parent, 32, 2, 0)) for tested in (True, False)
    )
    assert len(with_rows) == len(without_rows) > 0
    for left, right in zip(with_rows, without_rows, strict=True):
        assert (left.dataset, left.shots) == (right.dataset, right.shots)
        np.testing.assert_array_equal(left.class_Q, right.class_Q)
        assert_same_inputs(left.inputs, right.inputs)


def test_constants_of_iterative_baselines_are_chosen_without_test_rows(
    chosen_on: Callable[[bool], Path],
) -> None:
    script = load_script("choose_iterative_baselines")
    drawn = []
    for tested in (True, False):
        images, pool = script.load(chosen_on(tested), 32)
        drawn.append(list(script.draw(images, pool, 1, 2, 0)))
    for (left, left_Q), (right, right_Q) in zip(*drawn, strict=True):
        np.testing.assert_array_equal(left_Q, right_Q)
        assert_same_inputs(left, right)


def assert_same_inputs(left: object, right: object) -> None:
    """Compare two EpisodeInputs."""
    for name in ("class_names", "descriptions"):
        assert getattr(left, name) == getattr(right, name)
    for name in ("pool", "query_rows"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    for ours, theirs in zip(left.support_rows, right.support_rows, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_choosing_benchmark_decodes_no_test_image(chosen_on: Callable[[bool], Path]) -> None:
    def ask(folder: Path, role: str) -> BenchmarkSettings:
        return BenchmarkSettings(
            manifest=folder / "manifest.csv", role=role, n_way=3, k_shot=1, resolution=32
        )

    with_rows = chosen_on(True)
    left = load_benchmark_data(ask(with_rows, "novel_val"))
    right = load_benchmark_data(ask(chosen_on(False), "novel_val"))
    assert left.digest == right.digest
    np.testing.assert_array_equal(left.images, right.images)
    with pytest.raises(ImageError):
        load_benchmark_data(ask(with_rows, TEST_ROLE))


def test_the_choosing_suite_is_of_novel_val() -> None:
    suite = BenchmarkSuite.load(CHOOSING_SUITE)
    assert {setting.role for setting in suite.settings} == {"novel_val"}
    assert {setting.absent_role for setting in suite.settings} <= {"", "novel_val", "meta_val"}


@pytest.mark.parametrize("script", CHOOSING_SCRIPTS, ids=lambda path: path.stem)
def test_choosing_scripts_read_one_role(script: Path) -> None:
    tree = ast.parse(script.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert constants["ROLE"] == "novel_val"
    compared = [
        ast.unparse(node.comparators[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and "['role']" in ast.unparse(node.left)
    ]
    assert compared
    assert set(compared) == {"ROLE"}


def test_there_are_choosing_scripts() -> None:
    assert {path.stem for path in CHOOSING_SCRIPTS} >= {
        "choose_baselines", "choose_iterative_baselines",
    }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        CHOOSING_SUITE,
        *CHOOSING_SCRIPTS,
        *sorted((REPOSITORY / "sgps" / "training").glob("*.py")),
        *sorted((REPOSITORY / "sgps" / "synthesizer").glob("*.py")),
        *sorted(GENERATORS.glob("*/training.yaml")),
    ],
    ids=lambda path: str(path.relative_to(REPOSITORY)),
)
def test_what_trains_or_chooses_does_not_name_the_role(path: Path) -> None:
    assert TEST_ROLE not in path.read_text(encoding="utf-8")


def test_default_roles_are_those_of_training_and_validation() -> None:
    config = MetaTrainingConfig()
    assert config.train_roles == ("meta_train",)
    assert set(config.validation_roles) <= {"novel_val", "meta_val"}


@pytest.mark.parametrize(
    "settings",
    [
        PARAMETERS["train"],
        PARAMETERS["retrain"]["training"]["config"],
        *(
            yaml.safe_load(path.read_text(encoding="utf-8"))["train"]
            for path in sorted(GENERATORS.glob("*/training.yaml"))
        ),
        *(
            json.loads(path.read_text(encoding="utf-8"))["lineage"]["config"]
            for path in sorted(GENERATORS.glob("*/generator.json"))
        ),
    ],
)
def test_trainings_of_this_repository_ask_for_those_roles(settings: dict[str, object]) -> None:
    defaults = MetaTrainingConfig()
    assert tuple(settings.get("train_roles", defaults.train_roles)) == ("meta_train",)
    validation = settings.get("validation_roles", defaults.validation_roles)
    assert set(validation) <= {"novel_val", "meta_val"}


@pytest.mark.parametrize("path", sorted(GENERATORS.glob("*/generator.json")), ids=str)
def test_shipped_generators_were_chosen_on_validation_roles(path: Path) -> None:
    lineage = json.loads(path.read_text(encoding="utf-8"))["lineage"]
    assert lineage["validated_on"]["role"] in {"novel_val", "meta_val"}


def test_promotion_is_decided_on_novel_val() -> None:
    assert PARAMETERS["retrain"]["episodes"]["role"] == "novel_val"


def test_the_pipeline_shows_test_rows_to_its_last_stages_only() -> None:
    """Nothing that is trained or chosen depends on a stage whose episodes are of novel_test."""
    names_it = {
        stage
        for stage, content in STAGES.items()
        if TEST_ROLE in content["cmd"]
        or any(
            PARAMETERS[name].get("role") == TEST_ROLE
            for name in content.get("params", [])
            if isinstance(name, str) and name in PARAMETERS
        )
    }
    assert names_it == {"episodes"}
    touched = set(names_it)
    while further := {stage for stage in STAGES if needs(stage, touched)} - touched:
        touched |= further
    assert touched == {"episodes", "evaluate"}


def needs(stage: str, others: set[str]) -> bool:
    produced = {
        str(next(iter(out)) if isinstance(out, dict) else out)
        for other in others
        for kind in ("outs", "metrics", "plots")
        for out in STAGES[other].get(kind, [])
    }
    return not produced.isdisjoint(STAGES[stage]["deps"])
