"""Manifests of public sets from checkouts of their repositories, here drawn ones."""

from __future__ import annotations

import csv
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from scripts import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("make_manifests_elsewhere")


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((64, 64)).save(path)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def clones(tmp_path: Path) -> Path:
    """Two whole checkouts: breast ultrasound with masks, and both sets of white cells."""
    breast = tmp_path / "clones" / "BMI702_project" / "Dataset_BUSI_with_GT"
    for seed, (label, name) in enumerate((("benign", "a"), ("benign", "b"), ("normal", "c"))):
        draw(breast / label / f"{label} ({name}).png", seed)
        draw(breast / label / f"{label} ({name})_mask.png", 50 + seed)
    draw(breast / "benign" / "benign (again).png", 0)
    draw(breast / "normal" / "normal (benign b).png", 1)
    cells = tmp_path / "clones" / "segmentation_WBC"
    for number in (1, 2):
        for image, seed in ((1, 10), (2, 11), (3, 12)):
            draw(cells / f"Dataset {number}" / f"{image:03d}.bmp", seed)
        table = "image ID,class label\n1,1\n2,4\n3,5\n"
        (cells / f"Class Labels of Dataset {number}.csv").write_text(table)
    return tmp_path / "clones"


def test_masks_and_rare_classes_are_left_out(
    script: ModuleType, clones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "elsewhere"
    assert script.main(["--clones", str(clones), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "busi_breast_us", "wbc_cellavision", "wbc_jiangxi",
    ]  # fmt: skip
    assert [row["label"] for row in rows(out / "wbc_jiangxi")] == ["neutrophil", "eosinophil"]
    breast = rows(out / "busi_breast_us")
    assert {row["role"] for row in breast} == {"novel_test"}
    assert not any("_mask" in row["file"] for row in breast)
    assert all((out / "busi_breast_us" / row["file"]).is_file() for row in breast)
    printed = capsys.readouterr().out
    assert "left out: dermnet_ten" in printed
    assert "busi_breast_us: 3 of 5 images, 2 groups" in printed


def test_near_duplicates_share_a_group_and_contradictions_are_left_out(
    script: ModuleType, clones: Path, tmp_path: Path
) -> None:
    script.main(["--clones", str(clones), "--out", str(tmp_path / "out")])
    group_of = {
        row["file"].split("/")[1]: row["group"] for row in rows(tmp_path / "out" / "busi_breast_us")
    }
    assert group_of["benign_benign (a).png"] == group_of["benign_benign (again).png"]
    assert set(group_of) == {
        "benign_benign (a).png", "benign_benign (again).png", "normal_normal (c).png",
    }  # fmt: skip


def test_a_broken_checkout_writes_nothing(
    script: ModuleType, clones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clones / "segmentation_WBC" / "Dataset 1" / "002.bmp").write_bytes(b"no image")
    out = tmp_path / "out"
    assert script.main(["--clones", str(clones), "--out", str(out)]) == 2
    assert "002.bmp" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["busi_breast_us"]


def test_nothing_is_made_twice_or_from_nothing(
    script: ModuleType, clones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / "wbc_jiangxi").mkdir(parents=True)
    assert script.main(["--clones", str(clones), "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["wbc_jiangxi"]
    assert script.main(["--clones", str(tmp_path / "none"), "--out", str(out)]) == 2
    empty = tmp_path / "empty" / "DermNet_Dataset"
    empty.mkdir(parents=True)
    assert script.main(["--clones", str(empty.parent), "--out", str(out)]) == 2
    assert "no image of dermnet_ten" in capsys.readouterr().err
