import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sgps.datasets.decoding import encode_png
from sgps.datasets.expectations import ClassCount, Finding, ValidationResult
from sgps.datasets.ingest import ingest
from sgps.datasets.records import ImageRecord
from sgps.datasets.report import require_valid, write_validation_report
from sgps.datasets.storage import StoredDataset
from sgps.errors import DatasetRefusedError, StoreError

REFUSAL = Finding(
    check="near_roles",
    passed=False,
    observed="2 of 6 images are not as expected",
    rows=("a.png", "b.png"),
    expected="no pair",
    title="No near-duplicate in two roles",
    reasons=("looks like b.png", "looks like a.png"),
    partners=("b.png", "a.png"),
    count=70,
)
WARNING = Finding(
    check="brightness",
    passed=False,
    observed="1 of 6 images are not as expected",
    rows=("<script>alert(1)</script>.png",),
    expected="a mean grey value from 3 to 252",
    title="Brightness of each image",
    reasons=("brightness 1.2",),
    partners=("",),
    count=1,
    severity="warn",
)
PASSED = Finding(
    check="width",
    passed=True,
    observed="all 6 images",
    rows=(),
    expected="16 pixels",
    title="Width",
)


def result_of(*findings: Finding) -> ValidationResult:
    return ValidationResult(
        passed=not any(finding.refuses for finding in findings),
        findings=findings,
        datasets=("small",),
        digests={"small": "0123abcd" * 8},
        classes=(
            ClassCount("small", "meta_train", "mel", 1200, 800),
            ClassCount("small", "novel_test", "vasc", 142, 98),
        ),
    )


class Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attributes if name in ("src", "href")]


@pytest.fixture
def dataset(tmp_path: Path) -> StoredDataset:
    @dataclass
    class Two:
        name: str = "small"

        def __len__(self) -> int:
            return 2

        def records(self) -> Iterator[ImageRecord]:
            for number, name in enumerate(("a.png", "b.png")):
                rng = np.random.default_rng(number)
                data = encode_png(rng.integers(0, 255, (80, 90, 3), dtype=np.uint8))
                yield ImageRecord(name, "mel", name, "meta_train", lambda data=data: data)

    return ingest(Two(), tmp_path / "store")


def test_a_refusal_names_rows_reasons_and_digests(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "small.html"
    write_validation_report(result_of(REFUSAL, WARNING, PASSED), path)
    page = path.read_text(encoding="utf-8")
    for words in (
        "Refused by 1 check, 1 warning",
        "No near-duplicate in two roles",
        "looks like b.png",
        "0123abcd" * 8,
        "1,200 / 800",
        "2 of 70 shown",
        "novel_test",
    ):
        assert words in page
    assert [file.name for file in path.parent.iterdir()] == ["small.html"]


def test_a_pass_says_so(tmp_path: Path) -> None:
    write_validation_report(result_of(PASSED), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Passed" in page
    assert "What refuses" not in page


def test_names_are_escaped(tmp_path: Path) -> None:
    write_validation_report(result_of(WARNING), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_page_loads_nothing(tmp_path: Path, dataset: StoredDataset) -> None:
    path = tmp_path / "report.html"
    write_validation_report(result_of(REFUSAL, WARNING, PASSED), path, datasets=[dataset])
    page = path.read_text(encoding="utf-8")
    addresses = Addresses()
    addresses.feed(page)
    assert len(addresses.found) == 4
    assert all(address.startswith("data:image/jpeg;base64,") for address in addresses.found)
    assert not {"script", "link", "iframe"} & addresses.tags
    assert not re.search(r"url\(|@import|https?://", page)
    assert "default-src 'none'" in page


def test_a_report_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_validation_report(result_of(REFUSAL), path)
    write_validation_report(result_of(PASSED), path)
    assert "Refused" not in path.read_text(encoding="utf-8")


def test_an_unwritable_place_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_validation_report(result_of(PASSED), tmp_path / "file" / "report.html")


def test_require_valid_names_the_first_refusal_and_the_report(tmp_path: Path) -> None:
    second = replace(REFUSAL, check="near_groups")
    with pytest.raises(DatasetRefusedError, match="near_roles") as caught:
        require_valid(result_of(WARNING, REFUSAL, second), tmp_path / "report.html")
    assert caught.value.report == tmp_path / "report.html"
    assert "a.png" in str(caught.value)
    assert "also by near_groups" in str(caught.value)
    assert str(tmp_path / "report.html") in str(caught.value)


def test_warnings_alone_let_pass(tmp_path: Path) -> None:
    require_valid(result_of(WARNING, PASSED), tmp_path / "report.html")
