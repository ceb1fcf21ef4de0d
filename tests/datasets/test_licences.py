"""The table of licences: what is read, what is refused, and what the project's own one says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sgps.datasets.licences import UNKNOWN, LicenceTable
from sgps.errors import InputError

DATA = Path(__file__).parents[2] / "data"
ENTRY = {"licence": "CC BY 4.0", "spdx": "CC-BY-4.0", "source": "s", "stated": True, "open": True}
OPEN_IDENTIFIERS = {
    "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0",
    "CC-BY-SA-4.0", "CC0-1.0", "MIT", "ODbL-1.0", "PDDL-1.0",
}  # fmt: skip


def write(folder: Path, entries: object) -> Path:
    path = folder / "licences.yaml"
    path.write_text(yaml.safe_dump({"datasets": entries}))
    return path


def test_what_is_not_in_the_table_is_unknown_and_not_open(tmp_path: Path) -> None:
    closed = {**ENTRY, "licence": "CC BY-NC 4.0", "spdx": "CC-BY-NC-4.0", "open": False}
    table = LicenceTable.load(write(tmp_path, {"b": ENTRY, "a": closed}))
    assert table.datasets == ("a", "b")
    assert [table.is_open(name) for name in ("a", "b", "c")] == [False, True, False]
    assert [table.name_of(name) for name in ("a", "c")] == ["CC BY-NC 4.0", UNKNOWN]
    assert table.get("c") is None


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**ENTRY, "colour": "blue"}, "datasets.moles.colour"),
        ({**ENTRY, "open": "yes"}, "datasets.moles.open"),
        ({key: value for key, value in ENTRY.items() if key != "spdx"}, "datasets.moles.spdx"),
        ({**ENTRY, "licence": ""}, "datasets.moles.licence"),
        ({**ENTRY, "stated": False}, "source that states it"),
        ({**ENTRY, "spdx": None}, "SPDX identifier"),
        ("MIT", "datasets.moles"),
    ],
)
def test_a_wrong_entry_is_named(entry: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        LicenceTable.load(write(tmp_path, {"moles": entry}))


@pytest.mark.parametrize("content", ["", "[]", "a: [", "datasets: {1: {}}"])
def test_a_file_of_another_form_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "licences.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"licences\.yaml"):
        LicenceTable.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        LicenceTable.load(tmp_path / "nosuch.yaml")


@pytest.fixture(scope="module")
def own() -> LicenceTable:
    return LicenceTable.load(DATA / "licences.yaml")


def test_every_described_dataset_has_a_licence(own: LicenceTable) -> None:
    described = {path.stem for path in (DATA / "descriptions").glob("*.yaml")}
    assert set(own.datasets) == described | {"phantom"}
    names = re.findall(r"^  (\w+):", (DATA / "licences.yaml").read_text(), re.MULTILINE)
    assert names == sorted(set(names))


def test_open_means_an_open_identifier_and_none_other(own: LicenceTable) -> None:
    for name in own.datasets:
        licence = own.get(name)
        assert licence is not None
        identifiers = set(re.split(r" (?:AND|OR) ", licence.spdx)) if licence.spdx else set()
        is_open = bool(identifiers) and identifiers <= OPEN_IDENTIFIERS
        assert licence.open == (is_open and licence.stated), name


def test_non_commercial_and_research_use_are_never_open(own: LicenceTable) -> None:
    for name in own.datasets:
        licence = own.get(name)
        assert licence is not None
        if re.search(r"NC|ND|research|none|unclear", licence.licence):
            assert not licence.open, name


def test_the_cards_say_the_same(own: LicenceTable) -> None:
    """Where a card of its own names an SPDX-like licence, the table names it too."""
    for path in sorted((DATA / "cards").glob("*.md")):
        licence = own.get(path.stem)
        stated = re.search(r"Licence\*\*: (.+)", path.read_text(encoding="utf-8"))
        if licence is None or stated is None or licence.spdx is None:
            continue
        first = re.split(r" or |, ", licence.licence)[0]
        assert first in stated.group(1), path.stem
