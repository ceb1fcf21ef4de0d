"""The record of SGPS against training on the support, and its table, on drawn accuracies."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scripts import load_script

from sgps.evaluation import mean_interval, paired_difference
from sgps.evaluation.intervals import clustered_mean


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("iterative_table")


@pytest.fixture
def draw(script: ModuleType, tmp_path: Path):
    """Write accuracies by episode of some settings, as a benchmark does; return file and rows."""

    def write(name: str, settings: dict[str, int], *, seed: int = 0, **facts: object):
        rng = np.random.default_rng(seed)
        tables = []
        for setting, episodes in settings.items():
            rows = pd.DataFrame(rng.random((episodes, 1 + len(script.METHODS))).round(3))
            rows.columns = ["sgps", *script.METHODS]
            known = {
                "setting": setting, "n_way": 5, "k_shot": 1, "seed": 0, "resolution": 128,
                "data_digest": f"digest of {setting}", "generator_sha256": "923fa28c",
                "episode": range(episodes),
            } | facts  # fmt: skip
            tables.append(rows.assign(**known, **{"public/lda": 0.5}))
        table = pd.concat(tables, ignore_index=True)
        table.to_csv(tmp_path / name, index=False)
        return tmp_path / name, table

    return write


def test_differences_are_paired_and_the_better_of_a_kind_is_taken(script, draw, tmp_path, capsys):
    path, rows = draw("episodes.csv", {"skin": 9})
    assert script.main(["--record", str(tmp_path / "record.csv"), "--add", str(path)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "| skin" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:2] == ["skin, 5-way 1-shot", "9"]
    for cell, methods in zip(cells[3:], script.COLUMNS.values(), strict=True):
        best = max(methods, key=lambda method: rows[method].mean())
        mean, low, high = paired_difference(100 * rows["sgps"], 100 * rows[best])
        assert cell == f"{mean:+.1f} ± {(high - low) / 2:.1f}"


def test_a_record_grows_and_its_rows_are_replaced(script, draw, tmp_path):
    record = tmp_path / "record.csv"
    few, _ = draw("few.csv", {"skin": 4})
    many, rows = draw("many.csv", {"skin": 6, "blood": 3}, seed=1)
    assert script.main(["--record", str(record), "--add", str(few)]) == 0
    assert script.main(["--record", str(record), "--add", str(many)]) == 0
    kept = pd.read_csv(record)
    assert list(kept["setting"]) == ["blood"] * 3 + ["skin"] * 6
    assert kept.loc[kept["setting"] == "skin", "sgps"].tolist() == rows["sgps"][:6].tolist()
    content = record.read_bytes()
    assert script.main(["--record", str(record), "--add", str(many)]) == 0
    assert record.read_bytes() == content


def test_episodes_that_a_method_did_not_run_on_are_left_out(script, draw):
    path, rows = draw("episodes.csv", {"skin": 5})
    rows.loc[3:, "public/maml"] = np.nan
    rows.to_csv(path, index=False)
    assert list(script.read_rows(path)["episode"]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("fact", "value", "what"),
    [
        ("data_digest", "another", "images"),
        ("generator_sha256", "another", "generators"),
        ("resolution", 224, "resolutions"),
        ("seed", 1, "seeds"),
    ],
)
def test_rows_of_something_else_are_refused_and_the_record_stays(
    script, draw, tmp_path, capsys, fact, value, what
):
    record = tmp_path / "record.csv"
    first, _ = draw("first.csv", {"skin": 4})
    other, rows = draw("other.csv", {"skin": 2})
    rows.assign(**{fact: value}).to_csv(other, index=False)
    assert script.main(["--record", str(record), "--add", str(first)]) == 0
    before = record.read_bytes()
    assert script.main(["--record", str(record), "--add", str(other)]) == 2
    assert f"skin: rows of 2 different {what}; expected one" in capsys.readouterr().err
    assert record.read_bytes() == before


def test_the_table_stands_between_its_marks_and_the_rest_stays(script, draw, tmp_path, capsys):
    path, _ = draw("episodes.csv", {"skin": 3, "blood": 3})
    page = tmp_path / "results.md"
    page.write_text(f"before\n{script.START}\nold\n{script.END}\nafter\n")
    options = ["--record", str(tmp_path / "record.csv"), "--add", str(path), "--write", str(page)]
    assert script.main(options) == 0
    table = capsys.readouterr().out.strip()
    assert page.read_text() == f"before\n{script.START}\n{table}\n{script.END}\nafter\n"
    assert "| mean of the 2, on 2 data sets | 6 |" in table
    page.write_text("no marks")
    more, _ = draw("more.csv", {"skin": 5})
    kept = (tmp_path / "record.csv").read_bytes()
    assert script.main([*options, "--add", str(more)]) == 2
    assert (tmp_path / "record.csv").read_bytes() == kept
    assert "no place for the benchmark table" in capsys.readouterr().err


def test_settings_on_one_data_set_go_together(script, draw, tmp_path):
    _, rows = draw("episodes.csv", {"skin": 9, "skin in pairs": 9, "blood": 9})
    digests = {"skin": "skin", "skin in pairs": "skin", "blood": "blood"}
    rows["data_digest"] = rows["setting"].map(digests)
    *_, last = script.render(rows, script.read_figures(tmp_path / "none.csv")).splitlines()
    assert last.startswith("| mean of the 3, on 2 data sets | 27 |  |")
    method = "public/head_only"
    gains = (100 * (rows["sgps"] - rows[method])).groupby(rows["setting"], sort=False).mean()
    mean, low, high = clustered_mean(gains, list(map(digests.get, gains.index)))
    assert last.split("|")[4].strip() == f"{mean:+.1f} ± {(high - low) / 2:.1f}"


def test_of_one_data_set_there_is_no_mean_of_settings(script, draw, tmp_path):
    _, rows = draw("episodes.csv", {"skin": 9, "skin in pairs": 9}, data_digest="skin")
    assert "mean of" not in script.render(rows, script.read_figures(tmp_path / "none.csv"))


@pytest.mark.parametrize("known", [5, 9])
def test_figures_of_earlier_episodes_are_as_good_as_the_episodes(script, draw, tmp_path, known):
    _, rows = draw("episodes.csv", {"skin": 9, "blood": 4})
    for best, *others in script.COLUMNS.values():
        for other in others:
            rows[other] = rows[best] - 0.1
    whole = script.render(rows, script.read_figures(tmp_path / "none.csv"))

    skin = 100 * rows[rows["setting"] == "skin"][:known]
    values = {name: skin["sgps"] - skin[best] for name, (best, *_) in script.COLUMNS.items()}
    task = {"setting": "skin", "n_way": 5, "k_shot": 1, "episodes": known}
    figures = [
        task | {"figure": name, "mean": of.mean(), "half_width": mean_interval(of).high - of.mean()}
        for name, of in {"SGPS": skin["sgps"], **values}.items()
    ]
    pd.DataFrame(figures).to_csv(tmp_path / script.FIGURES, index=False)
    left = rows.drop(rows.index[rows["setting"].eq("skin") & (rows["episode"] < 5)])
    left = left[left["setting"].eq("blood") | (known < 9)]
    assert script.render(left, script.read_figures(tmp_path / script.FIGURES)) == whole
    wrong = [figure | {"mean": 50.0} for figure in figures]
    pd.DataFrame(wrong).to_csv(tmp_path / script.FIGURES, index=False)
    assert script.render(left, script.read_figures(tmp_path / script.FIGURES)) != whole
    assert script.render(rows, script.read_figures(tmp_path / script.FIGURES)) == whole


def test_figures_of_another_kind_are_named(script, draw, tmp_path, capsys):
    path, _ = draw("episodes.csv", {"skin": 4})
    (tmp_path / script.FIGURES).write_text("setting,mean\nskin,1\n")
    assert script.main(["--record", str(tmp_path / "record.csv"), "--add", str(path)]) == 2
    assert "expected the columns setting, n_way, k_shot, figure" in capsys.readouterr().err
    assert not (tmp_path / "record.csv").exists()


def test_a_file_of_another_kind_is_named(script, tmp_path, capsys):
    (tmp_path / "fast.csv").write_text("setting,episode\n")
    assert script.main(["--record", str(tmp_path / "none.csv")]) == 2
    assert script.main(["--add", str(tmp_path / "fast.csv")]) == 2
    assert "no column n_way; expected the episodes.csv" in capsys.readouterr().err
