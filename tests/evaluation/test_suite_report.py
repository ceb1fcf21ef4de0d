from __future__ import annotations

import copy
import json
import math

import numpy as np
import pandas as pd
import pytest
from example_suite import build_suite

from sgps.errors import InputError, StoreError
from sgps.evaluation.suite_report import write_suite_report


@pytest.fixture(scope="module")
def suite():
    """One setting is enough to be written."""
    whole = build_suite()
    return {**whole, "settings": whole["settings"][2:3]}


@pytest.fixture(scope="module")
def report(suite, tmp_path_factory):
    return write_suite_report(suite, tmp_path_factory.mktemp("suite") / "reports" / "all")


def test_json_and_page_stand_side_by_side(suite, report):
    assert report.name == "benchmark.html"
    assert sorted(path.name for path in report.parent.iterdir()) == [
        "benchmark.html",
        "benchmark.json",
    ]
    assert json.loads(report.with_name("benchmark.json").read_text(encoding="utf-8")) == suite
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_writing_again_gives_the_same_bytes(suite, report, tmp_path):
    again = write_suite_report(suite, tmp_path)
    for name in ("benchmark.html", "benchmark.json"):
        assert again.with_name(name).read_bytes() == report.with_name(name).read_bytes()


def test_accuracies_by_episode_are_written_beside_them_or_nothing_is(suite, tmp_path):
    episodes = pd.DataFrame({"episode": [0, 1], "sgps": [2 / 3, np.nan]})
    report = write_suite_report(suite, tmp_path / "all", episodes=episodes)
    assert report.with_name("episodes.csv").read_text() == "episode,sgps\n0,0.666667\n1,\n"
    (tmp_path / "blocked" / "episodes.csv").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"episodes\.csv: cannot be written"):
        write_suite_report(suite, tmp_path / "blocked", episodes=episodes)
    assert [path.name for path in (tmp_path / "blocked").iterdir()] == ["episodes.csv"]


def test_files_are_as_readable_as_any_other(report, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    for name in ("benchmark.html", "benchmark.json"):
        assert report.with_name(name).stat().st_mode == plain.stat().st_mode


def test_a_folder_in_the_way_of_one_file_keeps_both_from_being_written(suite, tmp_path):
    (tmp_path / "benchmark.json").write_text("of before")
    (tmp_path / "benchmark.html").mkdir()
    with pytest.raises(StoreError, match=r"benchmark\.html: cannot be written"):
        write_suite_report(suite, tmp_path)
    assert (tmp_path / "benchmark.json").read_text() == "of before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmark.html", "benchmark.json"]


def test_a_file_in_the_way_of_the_folder_is_named(suite, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_suite_report(suite, tmp_path / "file" / "reports")


def test_figures_that_are_not_finite_are_refused_before_anything_is_written(suite, tmp_path):
    broken = copy.deepcopy(suite)
    broken["settings"][0]["methods"]["sgps"]["accuracy"]["mean"] = math.nan
    with pytest.raises(InputError, match="cannot be written as JSON"):
        write_suite_report(broken, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_suite_of_nothing_is_refused(suite, tmp_path):
    with pytest.raises(InputError, match="no measured setting; expected at least one"):
        write_suite_report({**suite, "settings": []}, tmp_path)
