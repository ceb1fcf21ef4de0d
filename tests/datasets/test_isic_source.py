from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from isic_archive import Archive, source_of

from sgps.datasets.ingest import ingest
from sgps.datasets.sources import open_source
from sgps.datasets.sources._download import Downloader
from sgps.datasets.sources.isic import IsicSource
from sgps.errors import InputError


def test_pages_are_followed_and_clinical_fields_are_kept(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    source = source_of(archive, tmp_path, downloader)
    records = list(source.records())
    assert len(source) == 8
    assert len(archive.asked_for("/images/search/")) == 3
    assert archive.asked_for("/files/") == []
    first = records[0]
    assert (first.label, first.sex, first.age) == ("Melanoma, NOS", "male", 40.0)
    assert first.site == "lower extremity"
    assert "license=CC-BY" in first.extra
    assert "image_type=dermoscopic" in first.extra


def test_the_group_is_the_patient_then_the_lesion_then_the_image(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    groups = [record.group for record in source_of(archive, tmp_path, downloader).records()]
    assert groups[:5] == ["IP_9", "IP_9", "IP_9", "IL_7", "ISIC_0000004"]


def test_images_without_a_label_are_left_out_and_counted(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    for number in (1, 5):
        archive.images[number]["metadata"]["clinical"] = None
    source = source_of(archive, tmp_path, downloader)
    assert (len(source), source.skipped) == (6, 2)
    other = source_of(archive, tmp_path / "x", downloader, label_field="diagnosis_1")
    assert {record.label for record in other.records()} == {"Benign"}
    with pytest.raises(InputError, match="no image with a diagnosis"):
        len(source_of(archive, tmp_path / "y", downloader, label_field="diagnosis_4"))


def test_pages_are_limited(archive: Archive, tmp_path: Path, downloader: Downloader) -> None:
    with pytest.raises(InputError, match="at most 2 pages"):
        len(source_of(archive, tmp_path, downloader, max_pages=2))
    assert len(source_of(archive, tmp_path, downloader, limit=4)) == 4
    assert len(archive.asked_for("/images/search/")) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"isic_id": "../../etc/passwd"},
        {"isic_id": None},
        {"files": {"full": {"url": "https://x/y.exe"}}},
        {"files": 3},
    ],
)
def test_a_strange_listing_is_an_input_error(
    archive: Archive,
    tmp_path: Path,
    downloader: Downloader,
    change: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = archive.page(0)
    page["results"][0].update(change)
    monkeypatch.setattr(archive, "page", lambda start: page)
    with pytest.raises(InputError):
        len(source_of(archive, tmp_path, downloader))


def test_another_request_is_not_answered_from_the_listing_of_before(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    len(source_of(archive, tmp_path, downloader))
    with pytest.raises(InputError, match="downloads are off"):
        len(source_of(archive, tmp_path, downloader, collections="66", allow_download=False))
    len(source_of(archive, tmp_path, downloader, collections="66, 70", query="sex:male"))
    asked = [path for path, _ in archive.requests if "collections" in path]
    assert parse_qs(urlsplit(asked[0]).query)["collections"] == ["66,70"]
    assert parse_qs(urlsplit(asked[0]).query)["query"] == ["sex:male"]


@pytest.mark.parametrize(
    "options",
    [{"collections": "ham"}, {"role": "train"}, {"limit": 0}, {"roles": {"meta_train": 0.4}}],
)
def test_wrong_arguments(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        IsicSource(root=tmp_path, **options)


def test_the_archive_is_ingested(archive: Archive, tmp_path: Path) -> None:
    source = open_source(
        "isic",
        "all",
        root=str(tmp_path / "isic"),
        base_url=f"{archive.address}/api/v2",
        roles={"meta_train": 0.5, "meta_val": 0.5},
    )
    dataset = ingest(source, tmp_path / "store")
    assert len(dataset) == 8
    assert dataset.frame.groupby("group")["role"].nunique().max() == 1
    assert set(dataset.frame["label"]) == {"Nevus", "Melanoma, NOS"}
