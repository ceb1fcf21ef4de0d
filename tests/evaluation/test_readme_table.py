from __future__ import annotations

import copy
import stat

import pytest
from example_suite import build_suite

from sgps.errors import InputError, StoreError
from sgps.evaluation.readme_table import END, START, render_readme_table, write_readme_table


@pytest.fixture(scope="module")
def suite():
    return build_suite()


@pytest.fixture
def readme(tmp_path):
    path = tmp_path / "README.md"
    path.write_bytes(f"# Title\r\n\r\n{START}\nold\n{END}\n\nAfter – it.\n".encode())
    return path


def test_a_row_a_setting_with_the_best_of_each_base(suite):
    lines = render_readme_table(suite).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(suite["settings"])
    assert len({line.count("|") for line in table}) == 1
    setting = suite["settings"][0]
    mean = setting["methods"]["sgps"]["accuracy"]["mean"]
    paired = setting["paired"]["meta/ridge_taps"]
    assert table[2].startswith(f"| ISIC-FS, 3-way 1-shot | {100 * mean:.1f} ± ")
    assert "| ridge taps 5" in table[2]
    assert f"| {100 * paired['difference']:+.1f} [{100 * paired['low']:+.1f}, " in table[2]
    assert table[2].endswith("| 600 | clearly above |")
    assert table[-1].endswith("| 600 | below |")


def test_the_table_says_how_it_came_about(suite):
    text = render_readme_table(suite)
    about = suite["suite"]
    assert f"`{about['command']}` at commit `{about['commit']}`, seed 0" in text
    for setting in suite["settings"]:
        assert f"`{setting['settings']['data_digest'][:12]}`" in text
    assert "picked after the fact" in text
    assert "vary with other draws, not with other patients" in text
    assert "Of 6 settings SGPS is clearly above every baseline in 4" in text
    assert "below one in 1" in text


def test_a_checkout_that_was_changed_or_is_unknown_is_owned_up_to(suite):
    about = {**suite["suite"], "checkout_changed": True}
    text = render_readme_table({**suite, "suite": about})
    assert "at commit `4f1c2ab` (with local changes), seed 0" in text
    text = render_readme_table({**suite, "suite": {**suite["suite"], "commit": ""}})
    assert "at commit that is not known, seed 0" in text


def test_predictions_of_earlier_runs_are_owned_up_to(suite):
    about = {**suite["suite"], "predictions_from_cache": 428400}
    text = render_readme_table({**suite, "suite": about})
    assert "seed 0. 428,400 predictions were read from a file of earlier runs. Digests" in text
    for none in ({**about, "predictions_from_cache": 0}, suite["suite"]):
        text = render_readme_table({**suite, "suite": none})
        assert "seed 0. Digests of the data" in text


def test_only_what_stands_between_the_marks_is_replaced(suite, readme):
    readme.chmod(0o640)
    write_readme_table(suite, readme)
    first = readme.read_bytes()
    table = render_readme_table(suite)
    assert first == f"# Title\r\n\r\n{START}\n{table}\n{END}\n\nAfter – it.\n".encode()
    assert stat.S_IMODE(readme.stat().st_mode) == 0o640
    write_readme_table(suite, readme)
    assert readme.read_bytes() == first
    assert [path.name for path in readme.parent.iterdir()] == ["README.md"]


def test_odd_names_break_neither_the_table_nor_the_marks(suite, readme):
    odd = copy.deepcopy(suite)
    odd["settings"][0]["settings"]["name"] = f"a|b\n{END}<b>"
    odd["suite"]["command"] = f"sgps `x` {END}"
    write_readme_table(odd, readme)
    text = readme.read_text(encoding="utf-8")
    assert text.count(END) == 1
    assert "a\\|b &lt;!-- benchmark:end -->&lt;b>" in text
    write_readme_table(suite, readme)
    assert readme.read_text(encoding="utf-8").count("After – it.") == 1


def test_what_was_not_measured_is_a_dash(suite):
    poor = copy.deepcopy(suite)
    del poor["settings"][0]["methods"]["sgps"]
    poor["settings"][0]["paired"] = {}
    row = render_readme_table(poor).splitlines()[2]
    assert row == "| ISIC-FS, 3-way 1-shot | – | – | – | – | – | not judged |"


@pytest.mark.parametrize(
    "text", ["", START, f"{END}\n{START}", f"{START}{END}{START}{END}", f"{END}{START}{END}"]
)
def test_marks_must_be_there_once_and_in_order(suite, tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(InputError, match="no place for the benchmark table; expected once"):
        write_readme_table(suite, path)
    assert path.read_text() == text


def test_files_that_cannot_be_read_are_refused(suite, tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        write_readme_table(suite, tmp_path / "missing.md")
    (tmp_path / "latin.md").write_bytes(b"\xe9" + f"{START}{END}".encode())
    with pytest.raises(InputError, match="not UTF-8"):
        write_readme_table(suite, tmp_path / "latin.md")
