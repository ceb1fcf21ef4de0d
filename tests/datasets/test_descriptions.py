from __future__ import annotations

from pathlib import Path

import pytest

from sgps.datasets.descriptions import ClassDescription, DescriptionLibrary
from sgps.errors import InputError

HAM = """
dataset: ham10000
modality: dermoscopy
classes:
  mel: {text: "Asymmetric,\\n several colours", source: "a book"}
  nv: {text: Even brown, source: a book}
"""


def test_descriptions_are_found_by_dataset_and_label(tmp_path: Path) -> None:
    (tmp_path / "ham10000.yaml").write_text(HAM, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not read", encoding="utf-8")
    library = DescriptionLibrary.load(tmp_path)
    assert library.datasets == ("ham10000",)
    assert library.labels("ham10000") == ("mel", "nv")
    assert library.labels("other") == ()
    assert library.get("ham10000", "mel") == ClassDescription(
        "Asymmetric, several colours", "a book"
    )
    assert library.get("ham10000", "df") is None
    assert library.get("other", "mel") is None
    assert library.texts("ham10000", ["nv", "df", "mel"]) == [
        "Even brown",
        "",
        "Asymmetric, several colours",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n", "bad.yaml: list; expected names with values"),
        ("classes: {a: {text: t, source: s}}", "bad.yaml: dataset: None; expected text"),
        ("dataset: d\nclasses: []", "bad.yaml: classes: list"),
        ("dataset: d\nclasses: {no: {text: t, source: s}}", "class False.*put it in quotes"),
        ("dataset: d\nclasses: {a: {text: '', source: s}}", "class a: text: ''; expected text"),
        ("dataset: d\nclasses: {a: {text: t}}", "class a: source: None"),
        ("dataset: d\nclasses: {a: just words}", "class a: str; expected names with values"),
        ("dataset: [", "cannot be read"),
        ("!!python/object/apply:os.system ['true']", "cannot be read"),
        (
            f"dataset: d\nclasses: {{a: {{text: {'x' * 8001}, source: s}}}}",
            "8,001 characters; expected at most 8,000",
        ),
        ("x: " + "y" * 1_000_001, "bytes; expected at most 1,000,000"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "bad.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        DescriptionLibrary.load(tmp_path)


def test_a_dataset_is_described_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(HAM, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(HAM, encoding="utf-8")
    with pytest.raises(InputError, match=r"b\.yaml: dataset ham10000 is described twice"):
        DescriptionLibrary.load(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: not a folder"):
        DescriptionLibrary.load(tmp_path / "none")
