from __future__ import annotations

import copy
import itertools
import re
from html.parser import HTMLParser

import pytest
from example_suite import build_report, build_suite

from sgps.evaluation import bars
from sgps.evaluation.html_report import render_page
from sgps.evaluation.plots import draw_corruptions, draw_subgroups
from sgps.evaluation.setting_tables import (
    abstention_table,
    corruption_table,
    recall_table,
    results_table,
    subgroup_table,
)

VOID = {"meta", "img", "br", "link", "input"}


class Outline(HTMLParser):
    """Headings, tables and addresses of a page; fails on tags that do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.levels: list[int] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.addresses: list[str] = []
        self.alts: list[str] = []
        self.regions: list[str] = []
        self.tables = self.captions = self.unscoped = 0
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.tags.add(tag)
        self.attributes |= given.keys()
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))
        self.tables += tag == "table"
        self.captions += tag == "caption"
        self.unscoped += tag == "th" and given.get("scope") not in ("row", "col")
        self.ids += [given["id"]] if "id" in given else []
        self.targets += [given["href"][1:]] if given.get("href", "").startswith("#") else []
        self.addresses += [given[name] for name in ("src", "href") if name in given]
        self.alts += [given.get("alt", "")] if tag == "img" else []
        self.regions += [given["aria-label"]] if given.get("role") == "region" else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def suite():
    return build_suite()


@pytest.fixture(scope="module")
def page(suite):
    return render_page(suite)


@pytest.fixture(scope="module")
def poor_page(suite):
    """Of a setting that holds no more than accuracies, without ablations."""
    setting = copy.deepcopy(suite["settings"][0])
    for name in [name for name in setting["methods"] if bars.is_ablation(name)]:
        del setting["methods"][name]
    for figures in setting["methods"].values():
        for metric in [metric for metric in figures if metric != "accuracy"]:
            del figures[metric]
    setting |= {"curves": {}, "subgroups": {}}
    return render_page({"suite": suite["suite"], "settings": [setting]})


@pytest.fixture(scope="module")
def measured_page(suite):
    """Of figures that the engine gives."""
    return render_page({"suite": suite["suite"], "settings": [build_report().to_dict()]})


@pytest.mark.parametrize("kind", ["page", "poor_page", "measured_page"])
def test_a_page_is_well_formed_and_can_be_read_aloud(kind, request):
    page = request.getfixturevalue(kind)
    outline = Outline(page)
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(outline.levels))
    assert outline.tables == outline.captions > 0
    assert outline.unscoped == 0
    assert all(outline.alts)
    for unique in (outline.alts, outline.ids, outline.regions):
        assert len(set(unique)) == len(unique)
    assert set(outline.targets) <= set(outline.ids)
    assert '<html lang="en">' in page


def test_a_page_loads_nothing_and_runs_nothing(page):
    outline = Outline(page)
    for address in outline.addresses:
        assert address.startswith(("#", "data:image/svg+xml;base64,"))
    assert not outline.tags & {"script", "link", "iframe", "object", "form"}
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert "url(" not in page
    assert not [name for name in outline.attributes if name.startswith("on")]


def test_the_summary_comes_first_and_counts_the_verdicts(page):
    words = " ".join(re.sub(r"<[^>]+>", " ", page.split("<body>")[1]).split())
    assert words.index("Summary Bar 1") < words.index("What each part is worth SGPS with")
    assert "5 of 6 meet it, read leniently" in words
    assert "4 of 6 meet it, read strictly" in words
    assert "3 of 4 clearly above where the bar asks for it" in words
    assert "1 of 6 miss it" in words
    assert "picked after the fact" in words
    assert "vary with other draws, not with other patients" in words
    assert "ISIC-FS and RareDerm-FS at 1 and 5 shots" in words
    assert "Histology-FS, 5-way 5-shot: 4 classes of 6 groups" in words
    assert "Changed without cost in any setting: no bias." in words
    assert "SGPS meets it in 3 of 3 settings" in words


def test_the_page_says_how_it_came_about(page, suite):
    for value in (suite["suite"]["command"], "4f1c2ab", "torch 2.13.0"):
        assert value in page
    for setting in suite["settings"]:
        assert setting["settings"]["data_digest"] in page
        assert setting["settings"]["episodes_digest"] in page


def test_what_was_not_measured_is_left_out(poor_page):
    for heading in ("Recall by class", "Subgroups", "Corruptions", "Abstention,", "each part is"):
        assert heading not in poor_page
    assert "<details><summary>" in poor_page  # the definitions of the methods


def test_figures_of_the_engine_are_shown(measured_page):
    for words in ("Drawn-FS, 3-way 1-shot", "JPEG", "no text", "Recall by class", "Corruptions"):
        assert words in measured_page
    assert "Subgroups" not in measured_page


def test_texts_of_a_suite_are_escaped(suite):
    attack = "<script>alert(1)</script><img src=x>"
    odd = {"suite": {**suite["suite"], "command": attack, attack: {attack: attack}}}
    setting = copy.deepcopy(suite["settings"][0])
    setting["settings"] |= {"name": attack, "dataset": attack, "methods": {attack: {"a": attack}}}
    setting["methods"] = {
        name: figures | {f"recall:{attack}": figures["accuracy"]}
        for name, figures in setting["methods"].items()
    }
    skipped = [{"name": attack, "n_way": 2, "k_shot": 1, "reason": attack}]
    outline = Outline(render_page({**odd, "settings": [setting], "skipped": skipped}))
    assert "script" not in outline.tags
    assert "x" not in outline.addresses


def test_results_are_sorted_and_formatted(suite):
    setting = suite["settings"][0]
    table = results_table(setting)
    assert len(table.head) == len(table.align) == 11
    assert all(len(row.cells) == 11 for row in table.rows)
    assert [row.cells[0] for row in table.rows if row.own] == ["SGPS"]
    assert [row.cells[:2] for row in table.rows if row.tag] == [("ridge taps", "meta-trained")]
    means = [float(row.cells[2].split()[0]) for row in table.rows]
    assert means == sorted(means, reverse=True)
    assert not any("no text" in row.cells[0] for row in table.rows)
    by_name = {row.cells[:2]: row.cells for row in table.rows}
    assert by_name["fine tuning", "meta-trained"][-1] == "60"
    assert by_name["nearest centroid", "public"][9] == "–"
    assert float(by_name["ridge taps", "public"][9]) == pytest.approx(6, abs=0.2)
    assert float(by_name["fine tuning", "public"][8]) == pytest.approx(48, abs=0.2)


def test_errors_are_read_off_the_curve(suite):
    setting = suite["settings"][0]
    row = next(row for row in abstention_table(setting).rows if row.own)
    curve = setting["curves"]["sgps"]
    known = dict(
        zip((round(share, 2) for share in curve["coverage"]), curve["accuracy"], strict=True)
    )
    for cell, share in zip(row.cells[1:6], (1.0, 0.9, 0.75, 0.5, 0.25), strict=True):
        assert cell == f"{100 * (1 - known[share]):.1f}"
    assert row.cells[6] == f"{setting['methods']['sgps']['absent_auroc']['mean']:.3f}"


def test_clean_queries_are_those_of_the_corrupted_episodes_where_that_is_told(suite):
    setting = copy.deepcopy(suite["settings"][2])
    setting["settings"]["corruption_episodes"] = 100
    assert "queries, the corrupted ones of at most 100" in corruption_table(setting).caption
    for number, figures in enumerate(setting["methods"].values()):
        if "accuracy:blur" in figures:
            low = 0.1 + number / 100
            figures["accuracy:clean"] = {"mean": low, "low": low, "high": low}
    table = corruption_table(setting)
    assert table.head[1:] == ("clean", "blur", "noise", "JPEG", "brightness")
    assert {row.cells[1] for row in table.rows} == {
        f"{10 + number}.0 ± 0.0"
        for number, (name, figures) in enumerate(setting["methods"].items())
        if "accuracy:clean" in figures and "/no_" not in name
    }
    assert "queries, of at most 100 episodes" in table.caption
    heights = draw_corruptions(setting).axes[0].containers[1].patches
    own = list(setting["methods"]).index("sgps")
    assert heights[0].get_height() == pytest.approx(10 + own)


def test_other_tables_hold_every_class_group_and_corruption(suite):
    setting = suite["settings"][2]
    assert recall_table(setting).head == ("Method", "ACK", "BCC", "MEL", "SCC", "SEK")
    assert corruption_table(setting).head[1:] == ("clean", "blur", "noise", "JPEG", "brightness")
    groups = [row.cells[0] for row in subgroup_table(setting).rows]
    assert groups == [
        "sex: female",
        "sex: male",
        "age: 0-29",
        "age: 30-59",
        "age: 60+",
        "skin type: I-II",
        "skin type: III-VI",
    ]
    assert subgroup_table(setting).head[-2:] == ("People or lesions", "Queries")
    assert subgroup_table(setting).rows[0].cells[-2:] == ("1,400", "9,210")
    assert corruption_table(suite["settings"][4]) is None
    assert subgroup_table(suite["settings"][4]) is None


def test_few_people_have_no_interval(suite):
    setting = copy.deepcopy(suite["settings"][2])
    for attributes in setting["subgroups"].values():
        attributes["sex"]["female"]["groups"] = 9
        attributes["sex"]["male"]["groups"] = 10
    female, male = subgroup_table(setting).rows[:2]
    assert all(cell.endswith(" ± –") for cell in female.cells[1:-2])
    assert female.cells[-2:] == ("9", "9,210")
    assert not any("–" in cell for cell in male.cells)
    container = draw_subgroups(setting).axes[0].containers[1]
    low_and_high = [segment[:, 1] for segment in container.errorbar[2][0].get_segments()]
    assert low_and_high[0][0] == low_and_high[0][1]
    assert low_and_high[1][0] < low_and_high[1][1]


def test_a_report_of_before_tells_intervals_and_no_people(suite):
    setting = copy.deepcopy(suite["settings"][2])
    for attributes in setting["subgroups"].values():
        for subgroup in (each for groups in attributes.values() for each in groups.values()):
            del subgroup["groups"], subgroup["images"]
    for row in subgroup_table(setting).rows:
        assert row.cells[-2] == "–"
        assert not any("–" in cell for cell in row.cells[1:-2])
