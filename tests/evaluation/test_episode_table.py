from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from colour_benchmark import Chance, ColourCentroids, ask, write_manifest

from sgps.evaluation import run_benchmark
from sgps.evaluation.episode_table import EPISODE, SETTING, episode_table


class TrainedChance(Chance):
    name = "public/trained"
    iterative = True


class Centroids(ColourCentroids):
    name = "sgps"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_manifest(tmp_path_factory.mktemp("images"), noisy=True)


@pytest.fixture(scope="module")
def reports(manifest):
    methods = [Centroids(), TrainedChance()]
    return [
        run_benchmark(ask(manifest, k_shot=shots, iterative_episodes=3), methods)
        for shots in (1, 2)
    ]


def test_a_row_an_episode_and_a_column_a_method(reports):
    table = episode_table(reports)
    assert list(table.columns) == [*SETTING, EPISODE, "sgps", "public/trained"]
    assert list(table[EPISODE]) == [*range(8), *range(8)]
    assert list(table["k_shot"]) == [1] * 8 + [2] * 8
    assert table["public/trained"].notna().to_numpy().tolist() == ([True] * 3 + [False] * 5) * 2
    assert set(table["data_digest"]) == {reports[0].settings["data_digest"]}


def test_rows_of_a_divided_run_are_those_of_the_whole(reports, manifest):
    settings = ask(manifest, k_shot=2, iterative_episodes=3)
    methods = [Centroids(), TrainedChance()]
    halves = [
        run_benchmark(replace(settings, **part), methods)
        for part in ({"episodes": 2}, {"first_episode": 2, "iterative_episodes": 4})
    ]
    divided = episode_table(halves).drop(columns="public/trained")
    pd.testing.assert_frame_equal(
        divided, episode_table(reports[1:]).drop(columns="public/trained")
    )


def test_means_and_paired_differences_of_the_report_follow_from_the_rows(reports):
    table = episode_table(reports)
    for report, (_, rows) in zip(reports, table.groupby("k_shot"), strict=True):
        assert rows["sgps"].mean() == pytest.approx(report.methods()["sgps"]["accuracy"].mean)
        gain = (rows["sgps"] - rows["public/trained"]).mean()
        assert gain == pytest.approx(report.paired()["public/trained"].mean)
        assert len(np.unique(rows["sgps"])) > 1


def test_of_no_report_there_are_no_rows():
    table = episode_table([])
    assert isinstance(table, pd.DataFrame)
    assert table.empty
