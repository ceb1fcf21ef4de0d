from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sgps.datasets import manifest
from sgps.datasets.manifest import (
    OPTIONAL_COLUMNS,
    REQUIRED_COLUMNS,
    read_manifest,
    resolve_image_path,
)
from sgps.errors import InputError, ManifestError

HEADER = "file,label,group,role"
ROW = "a.png,mel,g1,meta_train"


@pytest.fixture
def write(tmp_path: Path):
    def write_manifest(*lines: str, encoding: str = "utf-8", name: str = "manifest.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return path

    return write_manifest


def test_columns_and_types(write) -> None:
    path = write(
        "width,file,label,group,role,age,sex,sha256",
        "224,a.png,mel,g1,meta_train,63.5,female,abc",
        "224,b.png,nv,g2,meta_val,,,def",
    )
    frame = read_manifest(path)
    assert list(frame.columns) == [*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS]
    assert frame["age"].dtype == np.float64
    assert frame["age"].tolist()[0] == 63.5
    assert np.isnan(frame["age"][1])
    assert frame["sex"].tolist() == ["female", ""]
    assert frame["text"].tolist() == ["", ""]
    assert isinstance(frame.index, pd.RangeIndex)


def test_byte_order_mark_blank_lines_and_quotes(write) -> None:
    path = write(
        f"{HEADER},text", '"a, b.png",mel,g1,meta_train,"two\nlines"', "", encoding="utf-8-sig"
    )
    frame = read_manifest(path)
    assert frame["file"].tolist() == ["a, b.png"]
    assert frame["text"].tolist() == ["two\nlines"]


def test_labels_that_look_like_missing_values_or_numbers_stay(write) -> None:
    frame = read_manifest(write(HEADER, "a,NA,1,meta_train", "b,None,01,meta_train"))
    assert frame["label"].tolist() == ["NA", "None"]
    assert frame["group"].tolist() == ["1", "01"]


def test_parquet_gives_the_same_as_csv(write, tmp_path: Path) -> None:
    path = write(f"{HEADER},age,sex,width", f"{ROW},40,,5", "b.png,nv,g2,meta_val,,male,6")
    table = pd.read_csv(path)
    table["label"] = table["label"].astype("category")
    table.to_parquet(tmp_path / "manifest.parquet")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "manifest.parquet"), read_manifest(path))


def test_parquet_with_missing_values_names_the_row(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"file": ["a", "b"], "label": ["x", None], "group": [1, 2], "role": ["meta_train"] * 2}
    )
    table.to_parquet(tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match=r"m\.parquet: row 2: label is empty"):
        read_manifest(tmp_path / "m.parquet")


def test_parquet_columns_that_are_no_text_are_refused(tmp_path: Path) -> None:
    table = pd.DataFrame({"file": ["a"], "label": [["x"]], "group": ["1"], "role": ["meta_train"]})
    table.to_parquet(tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match="column label of type list"):
        read_manifest(tmp_path / "m.parquet")


@pytest.mark.parametrize("column", REQUIRED_COLUMNS)
def test_a_missing_column_is_named(write, column: str) -> None:
    names = HEADER.split(",")
    place = names.index(column)
    lines = [
        ",".join(cell for at, cell in enumerate(line.split(",")) if at != place)
        for line in (HEADER, ROW)
    ]
    message = f"column {column} is missing; expected the columns file, label, group, role"
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(*lines))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (",mel,g2,meta_train", "row 3: file is empty"),
        ("b.png,,g2,meta_train", "row 3: label is empty"),
        ("b.png,mel,nan,meta_train", "row 3: group is empty"),
        ("b.png,mel,g2,train", "row 3: role 'train' is unknown; expected meta_train or meta_val"),
        ("b.png,mel,g2,", "row 3: role '' is unknown"),
        ("b.png,mel,g2", "row 3 has 3 values; expected 4, as many as the header"),
        ("b.png,mel,g2,meta_train,5", "row 3 has 5 values"),
        ("a.png,nv,g2,meta_train", "file a.png appears in row 2 and in row 3"),
        ("b.png,me\x07l,g2,meta_train", "row 3: label 'me.*' is not usable"),
        (f"b.png,{'x' * 1001},g2,meta_train", "row 3: label .* is not usable"),
    ],
)
def test_a_wrong_row_is_named(write, bad: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(HEADER, ROW, bad))


@pytest.mark.parametrize("age", ["-1", "200", "old", "inf", "1e400"])
def test_ages_are_years(write, age: str) -> None:
    with pytest.raises(ManifestError, match=f"row 2: age '{age}'; expected years from 0 to 130"):
        read_manifest(write(f"{HEADER},age", f"{ROW},{age}"))


def test_long_texts_are_refused(write) -> None:
    with pytest.raises(ManifestError, match="row 2: text of 20,001 characters; expected at most"):
        read_manifest(write(f"{HEADER},text", f"{ROW},{'x' * 20_001}"))
    with pytest.raises(ManifestError, match="row 2 cannot be read"):
        read_manifest(write(f"{HEADER},text", f"{ROW},{'x' * 1_000_000}"))


def test_wrong_files_are_named(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ManifestError, match=r"none\.csv: cannot be read \(No such file"):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(ManifestError, match=r"expected \.csv or \.parquet"):
        read_manifest(write("x", name="manifest.xlsx"))
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ManifestError, match="empty; expected a header"):
        read_manifest(tmp_path / "empty.csv")
    with pytest.raises(ManifestError, match="no rows; expected a row for each image"):
        read_manifest(write(HEADER))
    with pytest.raises(ManifestError, match="not UTF-8"):
        read_manifest(write(HEADER, "ä.png,mel,g,meta_train", encoding="latin-1"))
    with pytest.raises(ManifestError, match="column label appears twice"):
        read_manifest(write(HEADER + ",label", ROW + ",nv"))
    with pytest.raises(ManifestError, match="cannot be read as Parquet"):
        read_manifest(write(HEADER, name="manifest.parquet"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ManifestError, match="not a file"):
        read_manifest(tmp_path / "folder.csv")
    monkeypatch.setattr(manifest, "_MAX_BYTES", 10)
    with pytest.raises(ManifestError, match="bytes; expected at most 10 bytes"):
        read_manifest(write(HEADER, ROW))


def test_an_open_quote_is_an_error(write) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(write(HEADER, '"a.png,mel,g1,meta_train'))


def test_paths_inside_the_folder_are_resolved(tmp_path: Path) -> None:
    assert resolve_image_path(tmp_path, "images/a.png") == tmp_path.resolve() / "images/a.png"
    assert resolve_image_path(tmp_path, "x/../a.png") == tmp_path.resolve() / "a.png"
    assert resolve_image_path(tmp_path, "/data/a.png") == Path("/data/a.png")


def test_paths_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    for file in ("../a.png", "x/../../a.png", "link/a.png"):
        with pytest.raises(InputError, match="lies outside"):
            resolve_image_path(folder, file)
    for file in ("", "a\0.png", "a\n.png"):
        with pytest.raises(InputError, match="printable"):
            resolve_image_path(folder, file)
