"""A version as MLflow's own pages show it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sgps.service import open_workspace
from sgps.service.review import reject, submit_for_review
from sgps.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from sgps.service import SynthesisReceipt

pytestmark = pytest.mark.browser


@pytest.fixture
def version_page(mlflow_address: str, receipt: SynthesisReceipt, page: Page) -> Page:
    """The page of the model version, with its description drawn."""
    address = f"{mlflow_address}/#/models/{receipt.model_name}/versions/{receipt.version}"
    page.goto(address, wait_until="domcontentloaded")
    page.get_by_text("synthesized classifier").wait_for()
    return page


@pytest.fixture
def artifact_page(version_page: Page, window: BrowserContext) -> Page:
    """The card among the artifacts, reached by the link of the description."""
    with window.expect_page() as opened:
        version_page.get_by_role("link", name="Model card").click()
    opened.value.locator("iframe").wait_for()
    return opened.value


def test_the_version_page_shows_description_and_tags(
    version_page: Page, receipt: SynthesisReceipt, descriptions: dict[str, str]
) -> None:
    version_page.get_by_text("image_hashes").wait_for()
    seen = version_page.locator("body").inner_text()
    assert "not for clinical use" in seen
    assert "Requested by: demo" in seen
    assert receipt.request_id in seen
    assert receipt.weights_sha256 in seen
    assert descriptions["melanoma"] in seen
    assert "To see the pages." in seen
    for tag in ("architecture", "classes", "generator", "purpose", "state", "task"):
        assert version_page.get_by_role("cell", name=tag, exact=True).count() > 0, tag


def test_markup_in_a_description_is_text_on_the_version_page(version_page: Page) -> None:
    seen = version_page.locator("body").inner_text()
    assert "<script>alert(1)</script><img src=x" in seen
    assert version_page.locator("img[src='x']").count() == 0
    assert "taken" not in version_page.title()


def test_the_run_lists_its_artifacts_and_shows_the_card(
    artifact_page: Page, receipt: SynthesisReceipt, descriptions: dict[str, str]
) -> None:
    assert f"/runs/{receipt.run_id}/artifacts" in artifact_page.url
    for name in ("support", "texts.json", "request.json", "audit.json", "card.html"):
        assert artifact_page.get_by_text(name, exact=True).first.is_visible(), name
    shown = artifact_page.frame_locator("iframe")
    assert shown.locator("h1").inner_text() == "Drawn lesions"
    assert descriptions["angioma"] in shown.locator("main").inner_text()
    widths = shown.locator("img").evaluate_all(
        "all => Promise.all(all.map(image => image.decode().then(() => image.naturalWidth)))"
    )
    assert widths == [96] * 6


def test_the_run_shows_a_support_image(artifact_page: Page) -> None:
    artifact_page.get_by_text("support", exact=True).click()
    artifact_page.get_by_text("melanoma", exact=True).click()
    artifact_page.get_by_text(".png").first.click()
    artifact_page.wait_for_function(
        "[...document.images].some(image => image.naturalWidth == 96 && image.offsetWidth > 0)"
    )


def test_the_run_shows_how_good_the_generator_is_and_its_data(artifact_page: Page) -> None:
    artifact_page.get_by_text("generator", exact=True).first.click()
    artifact_page.get_by_text("benchmark.md", exact=True).click()
    artifact_page.get_by_text("ISIC-FS, 3-way 1-shot").first.wait_for()
    artifact_page.get_by_text("validation.html", exact=True).click()
    artifact_page.frame_locator("iframe").get_by_text("Dataset validation").first.wait_for()


def test_a_review_is_told_in_the_description(
    mlflow_address: str, receipt: SynthesisReceipt, store: Path, page: Page
) -> None:
    uri = receipt.model_uri
    with open_workspace(Settings(home=store)) as workspace:
        submit_for_review(uri, workspace, reviewer="Dr. Ada", reason="For the study.")
        reject(uri, workspace, reviewer="Dr. Bo", reason="Too few people.")
    page.goto(
        f"{mlflow_address}/#/models/{receipt.model_name}/versions/{receipt.version}",
        wait_until="domcontentloaded",
    )
    page.get_by_text("synthesized classifier").wait_for()
    seen = page.locator("body").inner_text()
    for words in ("rejected", "Dr. Bo", "Too few people.", "For the study."):
        assert words in seen, words


def test_the_run_shows_the_texts(artifact_page: Page, descriptions: dict[str, str]) -> None:
    artifact_page.get_by_text("texts.json", exact=True).click()
    artifact_page.get_by_text(descriptions["blue_nevus"]).wait_for()
