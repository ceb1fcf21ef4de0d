"""The card as a reader sees it: from a file, offline, on a desk and on a telephone."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = pytest.mark.browser


@pytest.fixture
def complaints(window: BrowserContext, page: Page) -> list[str]:
    """What goes wrong or asks for attention while the page is open."""
    window.set_offline(True)
    heard: list[str] = []
    page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: heard.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    return heard


@pytest.fixture
def requests(page: Page) -> list[str]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


@pytest.fixture
def opened_card(card: Path, complaints: list[str], requests: list[str], page: Page) -> Page:
    page.goto(card.as_uri(), wait_until="load")
    return page


def test_it_opens_offline_and_asks_for_nothing(
    opened_card: Page, card: Path, complaints: list[str], requests: list[str]
) -> None:
    outside = [url for url in requests if not url.startswith("data:")]
    assert outside == [card.as_uri()]
    assert complaints == []


def test_it_shows_every_support_image(opened_card: Page, descriptions: dict[str, str]) -> None:
    images = opened_card.locator("img")
    assert images.count() == 2 * len(descriptions)
    for image in images.all():
        assert image.is_visible()
        assert image.evaluate("image => image.complete && image.naturalWidth") == 96


def test_it_names_each_class_and_its_description(
    opened_card: Page, descriptions: dict[str, str]
) -> None:
    for label, text in descriptions.items():
        section = opened_card.locator("section.class", has=opened_card.get_by_text(label))
        assert section.locator("h3").inner_text() == label
        assert section.locator("p").inner_text() == text
        assert section.locator("img").count() == 2


def test_markup_in_a_description_is_text(
    opened_card: Page, complaints: list[str], descriptions: dict[str, str]
) -> None:
    assert "<script>alert(1)</script><img src=x" in opened_card.locator("main").inner_text()
    assert opened_card.locator("script").count() == 0
    assert opened_card.locator("img:not([src^='data:image/png;base64,'])").count() == 0
    assert opened_card.title() == "Drawn lesions – model card"
    assert complaints == []


@pytest.mark.parametrize("width", [390, 1280])
def test_it_never_scrolls_sideways(opened_card: Page, width: int) -> None:
    opened_card.set_viewport_size({"width": width, "height": 800})
    widths = opened_card.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths == [width, width]


def test_it_can_be_read_aloud(opened_card: Page) -> None:
    assert opened_card.locator("html").get_attribute("lang") == "en"
    assert opened_card.locator("h1").all_inner_texts() == ["Drawn lesions"]
    levels = opened_card.locator("h1, h2, h3").evaluate_all("all => all.map(h => +h.tagName[1])")
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    spoken = [image.get_attribute("alt") or "" for image in opened_card.locator("img").all()]
    assert all(spoken)
    assert len(set(spoken)) == len(spoken)


def test_it_says_who_asked_and_that_it_is_not_for_clinical_use(opened_card: Page) -> None:
    seen = opened_card.locator("main").inner_text()
    assert "Not for clinical use." in seen
    assert "demo" in seen
    assert "To see the pages." in seen
