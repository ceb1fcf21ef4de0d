"""The steward's page after the first click: reloads, a lost server, a changed form, other roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from steward import KINDS, Server, card, draw_pictures, drop, fill

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

TASK = "日本語"
TWO = KINDS[:2]
ACCOUNTS = "ada:one-1234-5678:steward,bo:two-1234-5678:steward,otto:three-1234-5678:auditor"
PASSWORDS = dict(each.split(":")[:2] for each in ACCOUNTS.split(","))
PICTURES = 6
OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("pictures"), side=128)


@pytest.fixture(scope="module")
def server(
    chromium: str, untrained_generator: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The page with accounts, an untrained generator, and a low limit for a picture."""
    settings = {
        "SGPS_GENERATOR": str(untrained_generator),
        "SGPS_BASIC_AUTH": ACCOUNTS,
        "SGPS_MAX_IMAGE_BYTES": "1000000",
    }
    server = Server(tmp_path_factory.mktemp("page"), settings)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[OpenPage]:
    """Opens an address of the page as an account, by default Ada's."""
    contexts = []

    def open_it(path: str = "/", *, who: str = "ada", width: int = 1280) -> Page:
        signed = {"username": who, "password": PASSWORDS[who], "send": "always"}
        context = browser.new_context(
            http_credentials=signed,  # type: ignore[arg-type]
            viewport={"width": width, "height": 800},
        )
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{server.address}{path}", wait_until="load")
        return page

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def made(browser: Browser, server: Server, pictures: Path) -> dict[str, Any]:
    """What the server answered of the classifier that Ada made on the page."""
    signed = {"username": "ada", "password": PASSWORDS["ada"], "send": "always"}
    with browser.new_context(http_credentials=signed) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(server.address)
        fill(page, pictures, task=TASK, kinds=TWO)
        page.get_by_role("button", name="Make the classifier").click()
        page.locator("#receipt dl").first.wait_for()
        found = page.request.get(f"{server.address}/api/requests/{page.url.partition('=')[2]}")
        return dict(found.json())


def _path(made: dict[str, Any]) -> str:
    return f"/?request={made['request_id']}"


def test_a_reload_and_a_link_back_show_the_result_again(
    open_page: OpenPage, made: dict[str, Any], pictures: Path
) -> None:
    page = open_page(_path(made))
    result = page.get_by_role("region", name="Your classifier")
    name = made["receipt"]["model_name"]
    result.get_by_text(f"{name}, version 1").wait_for()
    assert result.locator("dd").first.inner_text() == TASK
    digest = result.get_by_text(made["receipt"]["weights_sha256"])
    assert not digest.is_visible()
    result.get_by_text("Details").click()
    assert digest.is_visible()
    assert page.locator("#steps li").count() > 5
    page.reload()
    result.get_by_text(f"{name}, version 1").wait_for()
    drop(page.locator("#trial .zone"), [pictures / "new" / "angioma-3.jpg"])
    page.locator(".answer meter").first.wait_for()
    with page.expect_popup() as record:
        page.get_by_role("link", name="See its record").click()
    record.value.get_by_role("rowheader", name="Asked for by").wait_for()
    assert page.locator(".answer").count() == 1
    page.goto(page.url.partition("?")[0] + "audit")
    page.get_by_role("link", name=f"Try {name}, version 1").click()
    page.get_by_text(f"{name}, version 1").wait_for()
    assert page.url.endswith(_path(made))


def test_leaving_with_pictures_that_were_not_sent_asks(open_page: OpenPage, pictures: Path) -> None:
    page = open_page()
    page.get_by_label("Name of the task").click()
    drop(card(page, 1).locator(".zone"), [pictures / "dark.png"])
    card(page, 1).get_by_text("1 picture in this class").wait_for()
    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    card(page, 1).get_by_role("button", name="Remove dark.png").click()
    page.reload()
    page.get_by_role("group", name="Class 2").wait_for()


def test_an_unknown_request_is_told(open_page: OpenPage) -> None:
    page = open_page(f"/?request={'0' * 32}")
    page.get_by_role("alert").get_by_text("no request").wait_for()
    assert "?" not in page.url


def test_the_page_waits_for_a_server_that_went_away(
    open_page: OpenPage, server: Server, tmp_path: Path
) -> None:
    page = open_page()
    fill(page, draw_pictures(tmp_path, side=128, seed=50), task="Patience", kinds=TWO)
    with page.expect_response("**/api/requests") as answered:
        page.get_by_role("button", name="Make the classifier").click()
    assert answered.value.status == 202
    server.stop()
    page.get_by_text("The server does not answer; your request is kept, trying again…").wait_for()
    server.start()
    page.get_by_text("patience, version 1").wait_for()
    assert page.locator("#progress").inner_text() == "Done."


def test_a_picture_in_two_classes_is_told_by_its_name(open_page: OpenPage, pictures: Path) -> None:
    page = open_page()
    fill(page, pictures, task="Twice", kinds=TWO)
    same, copy = pictures / TWO[0] / f"{TWO[0]}-1.jpg", pictures / "copy.jpg"
    copy.write_bytes(same.read_bytes())
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    drop(card(page, 2).locator(".zone"), [copy])
    card(page, 2).get_by_text(f"Shows the same as {same.name} of class 1").wait_for()
    page.get_by_role("button", name="Make the classifier").click()
    told = f"“{copy.name}” of class 2 shows the same as “{same.name}” of class 1"
    page.get_by_role("alert").get_by_role("link", name=told).click()
    assert page.evaluate("document.activeElement.ariaLabel") == f"Remove {copy.name}"
    assert not [each for each in sent if each.startswith("POST") and each.endswith("/requests")]


def test_what_the_server_refuses_is_told_by_the_names_on_the_page(
    open_page: OpenPage, pictures: Path
) -> None:
    same, copy = pictures / TWO[0] / f"{TWO[0]}-1.jpg", pictures / "copy.jpg"
    copy.write_bytes(same.read_bytes())
    page = open_page()
    page.route("**/api/images/compare", lambda route: route.abort())
    fill(page, pictures, task="Twice", kinds=TWO)
    drop(card(page, 2).locator(".zone"), [copy])
    card(page, 2).get_by_text("4 pictures in this class").wait_for()
    page.get_by_role("button", name="Make the classifier").click()
    refused = page.get_by_role("alert").get_by_text("are the same image")
    refused.wait_for()
    assert f"“{same.name}” of class" in refused.inner_text()
    assert f"“{copy.name}” of class" in refused.inner_text()
    assert ".png" not in refused.inner_text()


def test_a_changed_form_makes_the_result_one_of_earlier(
    open_page: OpenPage, made: dict[str, Any], pictures: Path
) -> None:
    page = open_page()
    fill(page, pictures, task="Known", kinds=TWO)
    page.get_by_role("button", name="Make the classifier").click()
    name = made["receipt"]["model_name"]
    page.locator(".note").get_by_text(
        f"{PICTURES} of these {PICTURES} pictures, or very similar ones, were used for"
        f" {TASK} ({name}), version 1 before."
    ).wait_for()
    assert page.locator("#receipt").get_by_text("looks like").count() == 0
    answer = page.request.get(f"{page.url.partition('/?')[0]}/api/requests/{page.url[-32:]}").json()
    worth = [
        image
        for each in answer["influence"]
        for image in each["images"]
        if image["contradicts_its_class"] or image["influence"] >= 0.05
    ]
    assert page.locator("#classes").get_by_text("Without it, the answers").count() == len(worth)
    earlier = page.get_by_text("Made from the earlier pictures and words")
    assert not earlier.is_visible()
    card(page, 1).get_by_label("Name of the class").fill("another name")
    earlier.wait_for()
    card(page, 1).get_by_label("Name of the class").fill(TWO[0])
    earlier.wait_for(state="hidden")
    card(page, 2).get_by_role("button", name=f"Remove {TWO[1]}-0.jpg").click()
    earlier.wait_for()


def test_the_words_are_those_of_people(open_page: OpenPage, pictures: Path) -> None:
    page = open_page()
    first = card(page, 1)
    again = pictures / TWO[0] / f"{TWO[0]}-1.jpg"
    large = pictures / "large.png"
    large.write_bytes(bytes(1_040_000))
    drop(first.locator(".zone"), [pictures / "dark.png", large, *[again] * 4])
    first.get_by_text("5 pictures in this class").wait_for()
    first.get_by_text("1.1 MB are too much; a picture may have 1 MB").wait_for()
    same = first.get_by_text(f"Shows the same as {again.name} and 2 others")
    same.first.wait_for()
    assert same.count() == 4
    dark = first.locator(".picture").filter(has_text="dark.png")
    assert "brightness" not in dark.inner_text()
    dark.get_by_text("Too dark: hardly anything can be seen").wait_for()


def test_a_record_fits_a_phone(open_page: OpenPage, made: dict[str, Any]) -> None:
    page = open_page(made["record"], width=360)
    page.get_by_role("rowheader", name="Classes").wait_for()
    height = "document.documentElement.scrollHeight"
    assert page.evaluate(height) < 5_000
    page.get_by_text("The whole record, as JSON").click()
    assert page.locator("pre").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_nobody_sees_a_link_that_leads_nowhere(open_page: OpenPage, made: dict[str, Any]) -> None:
    auditor = open_page(who="otto")
    auditor.get_by_role("note").get_by_text("with the role auditor").wait_for()
    assert auditor.locator("form, input").count() == 0
    assert auditor.get_by_role("link", name="Make a classifier").count() == 0
    other = open_page(_path(made), who="bo")
    other.get_by_role("link", name="Open this version in MLflow").wait_for()
    assert other.get_by_role("link", name="See its record").count() == 0
    steward = open_page("/audit")
    steward.get_by_role("link", name="Entry", exact=False).first.click()
    steward.get_by_role("rowheader", name="Task").wait_for()
