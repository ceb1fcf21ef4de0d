"""The page of a benchmark as a reader sees it: from a file, offline, on desk and telephone."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = pytest.mark.browser

EXAMPLE = Path(__file__).parents[1] / "evaluation" / "example_suite.py"
WIDTHS = (400, 1280)


@pytest.fixture(scope="module")
def report(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sgps.evaluation.suite_report import write_suite_report

    suite = runpy.run_path(str(EXAMPLE))["build_suite"]()
    attack = "<script>document.title='taken'</script>"
    suite["settings"][4]["settings"]["name"] = f"{attack}{'long' * 40}"
    suite["settings"][5]["settings"]["name"] = suite["settings"][4]["settings"]["name"]
    return write_suite_report(suite, tmp_path_factory.mktemp("benchmark"))


@pytest.fixture
def complaints(window: BrowserContext, page: Page) -> list[str]:
    """What goes wrong, asks for attention or leaves the file while the page is open."""
    window.set_offline(True)
    heard: list[str] = []
    page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: heard.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: heard.append(request.url))
    return heard


@pytest.fixture
def opened(report: Path, complaints: list[str], page: Page) -> Page:
    """The page with all that can be opened open."""
    page.goto(report.as_uri(), wait_until="load")
    page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true })")
    return page


def test_it_opens_offline_without_a_complaint(
    opened: Page, report: Path, complaints: list[str]
) -> None:
    assert [heard for heard in complaints if not heard.startswith("data:image/svg+xml")] == [
        report.as_uri()
    ]
    assert opened.title() == "Benchmark of SGPS: bar 1 met in 5 of 6 settings"
    assert opened.locator("script").count() == 0


def test_every_picture_is_drawn(opened: Page) -> None:
    images = opened.locator("img")
    assert images.count() == 1 + 6 * 2 + 4 * 2  # overview, curves, subgroups and corruptions
    sizes = images.evaluate_all(
        "all => Promise.all(all.map(image => image.decode().then("
        "() => [image.naturalWidth, image.width])))"
    )
    assert all(natural > 300 and shown > 300 for natural, shown in sizes)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_never_scrolls_sideways(opened: Page, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 800})
    widths = opened.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths == [width, width]


def test_wide_tables_scroll_inside_and_can_be_reached_by_keyboard(opened: Page) -> None:
    opened.set_viewport_size({"width": 400, "height": 800})
    wide = opened.locator(".scroll").evaluate_all(
        "all => all.filter(each => each.scrollWidth > each.clientWidth).map(each => each.tabIndex)"
    )
    assert len(wide) > 6
    assert set(wide) == {0}
    outside = opened.locator("table").evaluate_all(
        "all => all.filter(each => !each.closest('.scroll')).length"
    )
    assert outside == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_text_is_large_enough_and_captions_stay_in_view(opened: Page, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 800})
    smallest = opened.locator("main :is(p, td, th, li, caption, summary)").evaluate_all(
        "all => Math.min(...all.map(each => parseFloat(getComputedStyle(each).fontSize)))"
    )
    assert smallest >= 13
    ends = opened.locator("caption span").evaluate_all(
        "all => all.map(each => each.getBoundingClientRect().right)"
    )
    assert max(ends) <= width


def test_links_lead_to_their_sections(opened: Page) -> None:
    opened.set_viewport_size({"width": 1280, "height": 900})
    opened.get_by_label("Contents").get_by_role("link", name="5-shot").first.click()
    assert opened.url.endswith("#setting-2")
    heading = opened.locator("#setting-2")
    assert heading.inner_text() == "ISIC-FS, 3-way 5-shot"
    box = heading.bounding_box()
    assert box is not None
    assert box["y"] < 100
