"""The steward's page as people use it: dropped pictures, keyboard alone, a telephone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from steward import KINDS, SHOTS, Server, card, draw_pictures, drop, fill

from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

_FOCUSED = """(() => {
  const at = document.activeElement;
  const name = at.getAttribute("aria-label") || (at.labels && at.labels[0]?.textContent);
  return name || at.textContent;
})()"""

_LISTEN = """(() => {
  window.heard = [];
  const told = document.getElementById("progress");
  new MutationObserver(() => heard.push(told.textContent)).observe(told, { childList: true });
})()"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def address(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the page, served with the shipped generator."""
    server = Server(tmp_path_factory.mktemp("page"), {})
    server.start()
    yield server.address
    server.stop()


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What goes wrong while the page is open: errors, dialogs, refused addresses."""
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
def opened(address: str, complaints: list[str], requests: list[str], page: Page) -> Page:
    page.goto(address, wait_until="load")
    page.get_by_role("group", name="Class 2").wait_for()
    return page


def _check_steps(heard: list[str], listed: list[str]) -> None:
    """What was said while it was made: steps as they happened, and no waiting between them."""
    assert heard[0] == "Checking your request…"
    assert heard[-1] == "Done."
    steps = [words.removesuffix("…") for words in heard[1:-1]]
    while steps[0] == "Waiting for its turn":
        steps.pop(0)
    assert "Making the classifier" in steps
    places = [listed.index(step) for step in steps]
    assert places == sorted(set(places))
    assert "Entering it in the ledger" in listed


def test_from_dropped_pictures_to_a_prediction(
    opened: Page, pictures: Path, address: str, complaints: list[str], requests: list[str]
) -> None:
    fill(opened, pictures, task="Drawn lesions")
    first = card(opened, 1)
    assert first.locator("img").count() == SHOTS
    assert "EXIF" in first.locator(".findings").first.inner_text()
    opened.evaluate(_LISTEN)
    opened.get_by_role("button", name="Make the classifier").click()
    result = opened.get_by_role("region", name="Your classifier")
    result.get_by_text("drawn-lesions, version 1").wait_for()
    link = result.get_by_role("link", name="Open this version in MLflow")
    assert link.get_attribute("href") == ("http://127.0.0.1:5000/#/models/drawn-lesions/versions/1")
    _check_steps(opened.evaluate("heard"), opened.locator("#steps li").all_inner_texts())
    drop(opened.locator("#trial .zone"), sorted((pictures / "new").iterdir()))
    opened.get_by_text("3 pictures looked at.").wait_for()
    answers = opened.locator(".answer")
    assert answers.count() == len(KINDS)
    for kind in KINDS:
        answer = answers.filter(has_text=f"{kind}-{SHOTS}.jpg")
        assert kind.replace("_", " ") in answer.locator(".verdict").inner_text()
        assert answer.locator("meter").count() == len(KINDS)
        assert answer.locator("figure.nearest img").evaluate("image => image.decode()") is None
        assert answer.locator(".unsure, .foreign").count() == 0
    foreign = pictures / "of-no-class.png"
    Image.fromarray(draw_phantom("reticular_nevus", 256, np.random.default_rng(5))).save(foreign)
    drop(opened.locator("#trial .zone"), [foreign])
    answer = answers.filter(has_text=foreign.name)
    answer.locator(".verdict.unsure").get_by_text("Not sure.").wait_for()
    hint = answer.locator(".foreign").inner_text()
    assert hint.startswith("Perhaps none of these classes.")
    assert hint.endswith("That is a hint, not a diagnosis.")
    assert complaints == []
    assert [url for url in requests if not url.startswith(address)] == []


def test_the_name_of_a_known_class_is_text(
    opened: Page, pictures: Path, complaints: list[str]
) -> None:
    evil = "<img src=x onerror=\"document.title='taken'\">: nv"

    def answer_evil(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"foreign": True, "resembles": evil})

    opened.route("**/predict?image=*", answer_evil)
    fill(opened, pictures, task="Drawn lesions")
    opened.get_by_role("button", name="Make the classifier").click()
    opened.get_by_text("drawn-lesions, version").wait_for()
    drop(opened.locator("#trial .zone"), [pictures / "new" / f"angioma-{SHOTS}.jpg"])
    hint = opened.locator(".answer .foreign")
    hint.wait_for()
    assert f"most like {evil}." in hint.inner_text()
    assert hint.locator("img").count() == 0
    assert "taken" not in opened.title()
    assert complaints == []


def test_with_the_keyboard_alone(opened: Page, pictures: Path, complaints: list[str]) -> None:
    keyboard = opened.keyboard

    def tab_to(words: str) -> None:
        for _ in range(60):
            keyboard.press("Tab")
            if words in str(opened.evaluate(_FOCUSED)):
                return
        pytest.fail(f"Tab does not reach {words!r}")

    def choose(words: str, files: list[Path]) -> None:
        tab_to(words)
        chosen[:] = files
        keyboard.press("Enter")

    chosen: list[Path] = []
    opened.on("filechooser", lambda chooser: chooser.set_files(chosen))
    tab_to("Skip to the page")
    keyboard.press("Enter")
    for words, text in (
        ("Name of the task", "Keys alone"),
        ("Your name", "Dr. Ada"),
        ("Why it is wanted", "To see."),
    ):
        tab_to(words)
        keyboard.type(text)
    for number, kind in enumerate(KINDS[:2], start=1):
        tab_to("Name of the class")
        keyboard.type(kind)
        tab_to("Pick a text")
        keyboard.press("Enter")
        fieldset = card(opened, number)
        words = kind.replace("_", " ")
        fieldset.get_by_role("button", name=f"{words} (phantom)").wait_for()
        tab_to(f"{words} (phantom)")
        keyboard.press("Enter")
        assert fieldset.get_by_label("How it looks").input_value() == PHANTOM_CLASSES[kind]
        choose(f"pictures of class {number}", sorted((pictures / kind).iterdir()))
        fieldset.get_by_text(f"{SHOTS} pictures in this class").wait_for()
    tab_to("Make the classifier")
    keyboard.press("Enter")
    opened.get_by_text("keys-alone, version 1").wait_for()
    assert "Your classifier" in opened.evaluate(_FOCUSED)
    choose("Choose new pictures", [pictures / "new" / f"angioma-{SHOTS}.jpg"])
    opened.get_by_text("1 picture looked at.").wait_for()
    assert "angioma" in opened.locator(".verdict").inner_text()
    assert complaints == []


def test_what_is_missing_is_said_and_leads_to_its_field(opened: Page) -> None:
    opened.get_by_role("button", name="Make the classifier").click()
    problems = opened.get_by_role("alert").filter(has_text="put right first")
    assert problems.get_by_role("link").all_inner_texts() == [
        "Give the task a name.",
        "Say who you are.",
        "Say why it is wanted.",
        "Class 1: give it a name.",
        "Class 1: give it at least one picture.",
        "Class 2: give it a name.",
        "Class 2: give it at least one picture.",
    ]
    problems.get_by_role("link").first.click()
    assert opened.evaluate("document.activeElement.id") == "task"


def test_findings_stand_under_the_pictures(opened: Page, pictures: Path) -> None:
    first = card(opened, 1)
    foreign = pictures / "no-picture.jpg"
    foreign.write_text("<script>alert(1)</script>")
    again = pictures / KINDS[0] / f"{KINDS[0]}-1.jpg"
    drop(first.locator(".zone"), [pictures / "dark.png", again, foreign])
    drop(card(opened, 2).locator(".zone"), [again])
    dark = first.locator(".picture").filter(has_text="dark.png")
    dark.get_by_text("Look: Too dark").wait_for()
    first.locator(".picture").filter(has_text="no-picture.jpg").get_by_text("Not taken").wait_for()
    same = first.get_by_text(f"Shows the same as {again.name} of class 2")
    same.wait_for()
    card(opened, 2).get_by_role("button", name=f"Remove {again.name}").click()
    same.wait_for(state="detached")
    assert opened.get_by_label("Choose pictures of class 2").evaluate(
        "input => input === document.activeElement"
    )


def test_markup_is_text(opened: Page, pictures: Path, complaints: list[str]) -> None:
    attack = "<img src=x onerror=alert(1)>"
    hostile = pictures / "<b onmouseover=alert(2)>.png"
    hostile.write_bytes((pictures / "dark.png").read_bytes())
    fill(opened, pictures, task=attack, kinds=KINDS[:2])
    card(opened, 1).get_by_label("Name of the class").fill(attack)
    card(opened, 1).get_by_label("How it looks").fill(attack)
    drop(card(opened, 1).locator(".zone"), [hostile])
    card(opened, 1).get_by_text(hostile.name, exact=True).wait_for()
    card(opened, 1).get_by_text(f"{SHOTS + 1} pictures in this class").wait_for()
    opened.get_by_role("button", name="Make the classifier").click()
    opened.locator("#receipt dl").first.wait_for()
    drop(opened.locator("#trial .zone"), [hostile])
    opened.locator(".answer dt").filter(has_text=attack).wait_for()
    with opened.expect_popup() as record:
        opened.get_by_role("link", name="See its record").click()
    record.value.get_by_role("cell", name=attack, exact=True).first.wait_for()
    for shown in (opened, record.value):
        assert shown.locator("img[src='x'], b").count() == 0
    assert complaints == []


@pytest.mark.parametrize("width", [360, 1280])
def test_it_never_scrolls_sideways(
    opened: Page, pictures: Path, address: str, width: int, complaints: list[str]
) -> None:
    opened.set_viewport_size({"width": width, "height": 740})
    fill(opened, pictures, task="W" * 100)
    opened.get_by_role("button", name="Make the classifier").click()
    opened.locator("#receipt dl").first.wait_for()
    drop(opened.locator("#trial .zone"), sorted((pictures / "new").iterdir()))
    opened.locator(".answer meter").first.wait_for()
    measured = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    assert opened.evaluate(measured) == [width, width]
    small = opened.locator("button:visible, input:visible:not([type=checkbox]), summary:visible")
    heights = small.evaluate_all("all => all.map(each => each.getBoundingClientRect().height)")
    assert min(heights) >= 32
    for path in ("/audit", "/audit/1", "/nothing"):
        opened.goto(f"{address}{path}")
        assert opened.evaluate(measured) == [width, width]
    assert [heard for heard in complaints if "404" not in heard] == []


def test_it_can_be_read_aloud(opened: Page) -> None:
    assert opened.locator("html").get_attribute("lang") == "en"
    assert opened.locator("h1").count() == 1
    unnamed = opened.locator("input, textarea, button, select").evaluate_all(
        "all => all.filter(each => !each.getAttribute('aria-label') && !(each.labels || []).length"
        " && !each.textContent.trim()).map(each => each.outerHTML)"
    )
    assert unnamed == []
    twice = opened.evaluate(
        "(ids => ids.filter((id, place) => ids.indexOf(id) !== place))"
        "([...document.querySelectorAll('[id]')].map(each => each.id))"
    )
    assert twice == []
