from __future__ import annotations

import base64
import copy
from xml.etree import ElementTree

import numpy as np
import pytest
from example_suite import build_report, build_suite
from PIL import Image

from sgps.errors import InputError, StoreError
from sgps.evaluation import bars, plots

DRAWINGS = {
    "risk_coverage": plots.draw_risk_coverage,
    "reliability": plots.draw_reliability,
    "corruptions": plots.draw_corruptions,
    "subgroups": plots.draw_subgroups,
}


@pytest.fixture(scope="module")
def suite():
    return build_suite()


@pytest.fixture(scope="module")
def setting(suite):
    return suite["settings"][2]


def svg_of(figure) -> ElementTree.Element:
    head, data = plots.svg_address(figure).split(",")
    assert head == "data:image/svg+xml;base64"
    return ElementTree.fromstring(base64.b64decode(data))


def words_of(figure) -> set[str]:
    return {
        "".join(each.itertext()).strip() for each in svg_of(figure).iter() if "text" in each.tag
    }


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_a_picture_is_svg_with_real_text_and_the_same_each_time(setting, draw):
    assert plots.svg_address(draw(setting)) == plots.svg_address(draw(setting))
    words = words_of(draw(setting))
    assert any(word.startswith("SGPS") for word in words)
    assert any(word.startswith("ridge taps (public)") for word in words)
    assert any(word.startswith("ridge taps (meta-trained)") for word in words)


def test_nothing_in_a_picture_is_fetched(suite, setting):
    for figure in (plots.draw_overview(suite), *(draw(setting) for draw in DRAWINGS.values())):
        for element in svg_of(figure).iter():
            for name, value in element.attrib.items():
                assert not name.endswith("href") or value.startswith("#")


def test_overview_shows_each_setting_and_marks_what_is_clear(suite):
    figure = plots.draw_overview(suite)
    left, right = figure.axes
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert labels == [bars.setting_label(setting) for setting in suite["settings"]]
    assert len([line for line in left.lines if line.get_marker() != "None"]) == 3 * 6
    dots = {int(line.get_ydata()[0]): line for line in right.lines if line.get_marker() == "o"}
    for place, standing in enumerate(bars.judge_suite(suite)):
        difference = standing.difference
        np.testing.assert_allclose(dots[place].get_xdata(), [100 * difference.mean])
        filled = dots[place].get_markerfacecolor() != "white"
        assert filled == (difference.low > 0 or difference.high < 0)


def test_errors_and_not_accuracies_are_drawn_over_coverage(setting):
    axes = plots.draw_risk_coverage(setting).axes[0]
    curve = setting["curves"]["sgps"]
    own = next(line for line in axes.lines if line.get_label() == "SGPS")
    np.testing.assert_allclose(own.get_xdata(), 100 * np.array(curve["coverage"]))
    np.testing.assert_allclose(own.get_ydata(), 100 - 100 * np.array(curve["accuracy"]))


def test_bins_of_few_queries_are_left_out(setting):
    axes = plots.draw_reliability(setting).axes[0]
    own = next(line for line in axes.lines if str(line.get_label()).startswith("SGPS"))
    bins = setting["curves"]["sgps"]["reliability"]
    assert bins["counts"][0] < 10
    np.testing.assert_allclose(own.get_xdata(), bins["confidence"][1:])
    np.testing.assert_allclose(own.get_ydata(), bins["accuracy"][1:])


def test_bars_are_as_high_as_the_figures(setting):
    axes = plots.draw_corruptions(setting).axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["clean", "blur", "noise", "JPEG", "brightness"]
    figures = setting["methods"]["sgps"]
    heights = [patch.get_height() for patch in axes.containers[1].patches]
    wanted = ["accuracy", *(f"accuracy:{kind}" for kind in ("blur", "noise", "jpeg", "brightness"))]
    np.testing.assert_allclose(heights, [100 * figures[metric]["mean"] for metric in wanted])


def test_a_group_that_one_method_lacks_is_a_gap(setting):
    poor = copy.deepcopy(setting)
    del poor["subgroups"]["sgps"]["age"]["0-29"]
    drawn = plots.draw_subgroups(poor).axes[0].containers
    assert [len(each.patches) for each in drawn if hasattr(each, "patches")] == [6, 7, 7]


def test_a_curve_that_the_best_baseline_lacks_is_shown_of_the_next(setting):
    poor = copy.deepcopy(setting)
    del poor["curves"]["meta/ridge_taps"]
    labels = {str(line.get_label()) for line in plots.draw_risk_coverage(poor).axes[0].lines}
    assert "ridge taps (meta-trained)" not in labels
    assert len([label for label in labels if label.endswith("(meta-trained)")]) == 1


def test_each_side_has_a_mark_a_line_and_a_hatching_of_its_own():
    marks = plots._MARKS.values()
    for traits in zip(*((m.colour, m.symbol, m.line, m.hatch) for m in marks), strict=True):
        assert len(set(traits)) == len(traits)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
@pytest.mark.parametrize("plot", [plots.plot_accuracy, plots.plot_reliability])
def test_pictures_on_file_are_the_same_each_time(tmp_path, plot, suffix):
    report = build_report()
    first, second = tmp_path / f"first{suffix}", tmp_path / "sub" / f"second{suffix}"
    plot(report, first)
    plot(report, second)
    assert first.stat().st_size > 5000
    assert first.read_bytes() == second.read_bytes()
    if suffix == ".png":
        with Image.open(first) as image:
            assert image.size[0] > 600


def test_pictures_of_other_types_or_in_no_folder_are_refused(tmp_path):
    report = build_report()
    with pytest.raises(InputError, match=r"\.png or \.svg"):
        plots.plot_accuracy(report, tmp_path / "accuracy.bmp")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        plots.plot_accuracy(report, tmp_path / "file" / "accuracy.png")
