import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from colour_benchmark import Chance, ColourCentroids, write_manifest

from sgps.errors import InputError, ManifestError
from sgps.evaluation import (
    BenchmarkReport,
    BenchmarkSuite,
    Prediction,
    SkippedSetting,
    TapBank,
    run_suite,
)
from sgps.evaluation.suite_run import suite_record
from sgps.synthesizer.tapped_network import InputNormalisation, build_tapped_network

REPOSITORY = Path(__file__).parents[2]
CONTENT = {
    "name": "colours",
    "seed": 3,
    "resolution": 32,
    "shots": [1, 9],
    "episodes": 6,
    "iterative_episodes": 2,
    "corruption_episodes": 3,
    "n_query": 2,
    "settings": [
        {"name": "all", "manifest": "colours/manifest.csv", "n_way": 3, "absent_role": "meta_val"},
        {"name": "pairs", "manifest": "colours/manifest.csv", "n_way": 2, "shots": [1, 2]},
        {
            "name": "pairs", "manifest": "colours/manifest.csv", "n_way": 3, "episodes": 4,
            "n_query": 1, "min_groups": 3, "notes": True,
        },
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "colours").mkdir()
    write_manifest(folder / "colours")
    return folder


def write(folder: Path, **changes: object) -> Path:
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(CONTENT | changes))
    return path


@pytest.fixture
def suite(tmp_path):
    return BenchmarkSuite.load(write(tmp_path))


def test_plan_is_every_setting_with_every_shot(suite, data):
    plan = suite.plan(data)
    assert [(settings.name, settings.n_way, settings.k_shot) for settings in plan] == [
        ("all", 3, 1), ("all", 3, 9), ("pairs", 2, 1), ("pairs", 2, 2), ("pairs", 3, 1),
        ("pairs", 3, 9),
    ]  # fmt: skip
    assert {settings.seed for settings in plan} == {3}
    assert {settings.resolution for settings in plan} == {32}
    assert {settings.iterative_episodes for settings in plan} == {2}
    assert {settings.corruption_episodes for settings in plan} == {0}
    assert {settings.corruption_episodes for settings in suite.plan(data, corruptions=True)} == {3}
    assert {settings.dataset for settings in plan} == {"colours"}
    last = plan[-1]
    assert (last.episodes, last.n_query, last.min_groups, last.notes) == (4, 1, 3, True)


def test_a_part_of_a_suite(suite, data):
    plan = suite.select(names=["pairs"], shots=[2, 3], episodes=5, resolution=48).plan(data)
    assert [(settings.n_way, settings.k_shot, settings.episodes) for settings in plan] == [
        (2, 2, 5), (2, 3, 5), (3, 2, 4), (3, 3, 4),
    ]  # fmt: skip
    assert {settings.resolution for settings in plan} == {48}
    assert suite.select().plan(data) == suite.plan(data)
    with pytest.raises(InputError, match="no setting 'trios'; expected one of all, pairs"):
        suite.select(names=["trios"])
    with pytest.raises(InputError, match="k_shot is 0"):
        suite.select(shots=[0]).plan(data)
    with pytest.raises(InputError, match="not a folder"):
        suite.plan(data / "nosuch")


def test_digest_follows_the_content(suite, tmp_path):
    assert BenchmarkSuite.load(write(tmp_path)).digest == suite.digest
    assert BenchmarkSuite.load(write(tmp_path, seed=4)).digest != suite.digest


SETTING = CONTENT["settings"][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "blue"}, "colour: Extra inputs"),
        ({"episodes": 1}, "episodes: "),
        ({"settings": []}, "settings: "),
        ({"settings": [SETTING, SETTING]}, "2-way pairs appears twice"),
        ({"settings": [SETTING | {"n_way": 1}]}, r"settings.0.n_way: "),
        ({"settings": [SETTING | {"name": "two words"}]}, r"settings.0.name: "),
        ({"settings": [SETTING | {"manifest": "../m.csv"}]}, "relative to the data folder"),
        ({"settings": [SETTING | {"absent_manifest": "/m.csv"}]}, "relative to the data folder"),
    ],
)
def test_a_wrong_suite_is_refused_by_the_field(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        BenchmarkSuite.load(write(tmp_path, **changes))


@pytest.mark.parametrize("content", [b"name: [", b"\xff\xfe", b"- 1\n", b""])
def test_what_is_no_suite_is_refused(tmp_path, content):
    path = tmp_path / "suite.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"suite\.yaml"):
        BenchmarkSuite.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        BenchmarkSuite.load(tmp_path / "nosuch.yaml")


class Stages:
    """Counts the contexts and keeps what they are told."""

    def __init__(self) -> None:
        self.entered = 0
        self.told = []

    @contextlib.contextmanager
    def __call__(self):
        self.entered += 1
        yield lambda *call: self.told.append(call)


def test_a_suite_runs_setting_by_setting(suite, data):
    stages = Stages()
    plan = suite.plan(data, corruptions=True)
    method = ColourCentroids()
    outcomes = []
    for outcome in run_suite(plan, [method, Chance()], commit="abc", stages=stages):
        outcomes.append(outcome)
        assert stages.entered == len(outcomes)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [
        BenchmarkReport, SkippedSetting, BenchmarkReport, BenchmarkReport, BenchmarkReport,
        SkippedSetting,
    ]  # fmt: skip
    assert ("all, 3-way 1-shot: episodes", 6, 6) in stages.told
    assert [call for call in stages.told if "images" in call[0] and call[1] == call[2]] == [
        ("all, 3-way 1-shot: images", 80, 80),
        ("pairs, 2-way 1-shot: images", 48, 48),
    ]
    assert outcomes[1].to_text() == (
        "all: 3-way 9-shot skipped: k_shot 9 needs 10 groups a class in 3 classes, but only 0 "
        "classes have as many; 'red' has 8; ask for fewer shots or classes"
    )

    record = suite_record(suite, outcomes, data=data, record={"commit": "abc", "command": "sgps"})
    content = json.loads(json.dumps(record, allow_nan=False))
    assert {"suite_digest", "seed", "commit", "command", "versions"} <= set(content["suite"])
    assert [setting["settings"]["name"] for setting in content["settings"]] == [
        "all", "pairs", "pairs", "pairs",
    ]  # fmt: skip
    assert {setting["settings"]["manifest"] for setting in content["settings"]} == {
        "colours/manifest.csv"
    }
    assert [(skipped["name"], skipped["k_shot"]) for skipped in content["skipped"]] == [
        ("all", 9), ("pairs", 9),
    ]  # fmt: skip
    assert str(data) not in json.dumps(content["settings"])
    for setting in content["settings"]:
        assert setting["settings"]["commit"] == "abc"
        assert {"absent_auroc", "accuracy:blur"} <= set(setting["methods"]["sgps"]) or (
            setting["settings"]["name"] == "pairs"
        )
        assert set(setting["subgroups"]["sgps"]) == {"sex", "age", "skin_type"}


def test_settings_on_the_same_images_share_them(suite, data):
    method = Chance()
    list(run_suite(suite.plan(data), [method]))
    pools = {id(episode.pool): episode.pool for episode in method.asked}
    assert [len(pool) for pool in pools.values()] == [80, 48]


def test_images_and_copies_are_let_go_with_the_last_setting_on_them(suite, data):
    network = build_tapped_network("test_efficientnet", pretrained=False)
    bank = TapBank("public", network, "v1", InputNormalisation("test_efficientnet"))

    class Banked(Chance):
        def predict(self, episode):
            bank.last(episode.pool, np.concatenate(episode.support_rows))
            bank.last(episode.queries_from, episode.query_rows)
            shape = (len(episode.query_rows), episode.n_way)
            return Prediction(np.full(shape, 1 / episode.n_way), 0.001)

    plan = suite.select(episodes=2).plan(data, corruptions=True)
    kept = [bank.pools for _ in run_suite(plan, [Banked()])]
    assert kept == [2, 2, 2, 2, 2, 2]
    assert bank.pools == 0


def test_a_setting_alone_gives_the_same_figures(suite, data):
    whole = list(run_suite(suite.plan(data), [ColourCentroids()]))
    part = suite.select(names=["pairs"], shots=[2]).plan(data)[:1]
    alone = next(run_suite(part, [ColourCentroids()]))
    for metric, values in alone.scores["sgps"].by_episode.items():
        np.testing.assert_array_equal(values, whole[3].scores["sgps"].by_episode[metric])


def test_a_missing_manifest_is_found_at_once(suite, data, tmp_path):
    plan = [*suite.plan(data), *suite.plan(tmp_path)]
    with pytest.raises(ManifestError, match=r"all: no file .*manifest\.csv"):
        next(run_suite(plan, [Chance()]))


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("benchmark.yaml", "novel_test"),
        ("benchmark_elsewhere.yaml", "novel_test"),
        ("benchmark_novel_val.yaml", "novel_val"),
    ],
)
def test_the_suites_of_the_house_are_well_formed(name, role, tmp_path):
    suite = BenchmarkSuite.load(REPOSITORY / "data" / name)
    assert {setting.role for setting in suite.settings} == {role}
    described = {path.stem for path in (REPOSITORY / "data" / "descriptions").glob("*.yaml")}
    assert {settings.dataset for settings in suite.plan(tmp_path)} <= described


def test_the_standard_suite_is_what_was_agreed(tmp_path):
    plan = BenchmarkSuite.load(REPOSITORY / "data" / "benchmark.yaml").plan(tmp_path)
    assert {(s.name, s.n_way) for s in plan} == {
        ("ISIC-FS", 3), ("ISIC-FS", 2), ("RareDerm-FS", 5), ("RareDerm-FS", 6), ("chest-xray", 3),
        ("blood-aml", 5), ("blood-pbc", 5), ("histology-crc", 5), ("covid-notes", 3),
    }  # fmt: skip
    assert {s.k_shot for s in plan} == {1, 3, 5}
    few = {"blood-aml", "blood-pbc", "histology-crc"}
    assert all(s.episodes == (200 if s.name in few else 600) for s in plan)
    assert all(s.iterative_episodes == 60 for s in plan)
    assert [s.notes for s in plan if s.name == "covid-notes"] == [True] * 3
