from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sgps.datasets.decoding import decode_image, encode_png
from sgps.datasets.ingest import ingest
from sgps.datasets.phantoms import PHANTOM_CLASSES
from sgps.datasets.sources import open_source
from sgps.datasets.sources.folder import ClassFolderSource
from sgps.datasets.sources.manifest import ManifestSource
from sgps.datasets.sources.phantom import PhantomSource
from sgps.errors import ImageError, InputError, ManifestError, UnknownNameError


def write_png(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    path.write_bytes(encode_png(pixels))


@pytest.fixture
def class_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "lesions"
    for number in range(10):
        write_png(folder / "mel" / f"p{number // 2}_{number}.png", number)
        write_png(folder / "nv" / "deeper" / f"q{number // 2}_{number}.PNG", 100 + number)
    (folder / "nv" / "notes.txt").write_text("about the images", encoding="utf-8")
    (folder / "mel" / ".DS_Store").write_bytes(b"x")
    (folder / ".cache").mkdir()
    return folder


def test_class_folders(class_folder: Path, tmp_path: Path) -> None:
    source = ClassFolderSource(class_folder)
    records = list(source.records())
    assert source.name == "lesions"
    assert len(records) == len(source) == 20
    assert [record.name for record in records] == sorted(record.name for record in records)
    assert {record.label for record in records} == {"mel", "nv"}
    assert {record.role for record in records} == {"unassigned"}
    assert records[0].group == "mel/p0_0"
    dataset = ingest(source, tmp_path / "store")
    assert dataset.frame["file"].tolist() == [record.name for record in records]


def test_class_folders_with_roles_and_groups(class_folder: Path) -> None:
    roles = {"meta_train": 0.6, "meta_val": 0.4}
    source = ClassFolderSource(class_folder, "mine", roles=roles, group_pattern=r"^([pq]\d)_")
    role_of: dict[str, set[str]] = {}
    for record in source.records():
        role_of.setdefault(record.group, set()).add(record.role)
    assert source.name == "mine"
    assert sorted(role_of) == [f"{letter}{number}" for letter in "pq" for number in range(5)]
    assert all(len(found) == 1 for found in role_of.values())
    for letter in "pq":
        trained = [
            group for group in role_of if group[0] == letter and "meta_train" in role_of[group]
        ]
        assert len(trained) == 3


def test_a_file_that_is_no_image_is_not_passed_over(class_folder: Path, tmp_path: Path) -> None:
    (class_folder / "mel" / "photo.heic").write_bytes(b"something else")
    with pytest.raises(ImageError, match=r"mel/photo\.heic: not an image of a known format"):
        ingest(ClassFolderSource(class_folder), tmp_path / "store")


def test_wrong_class_folders_are_named(class_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: not a folder"):
        ClassFolderSource(tmp_path / "none")
    with pytest.raises(InputError, match=r"p0_0\.png: its name does not match the group_pattern"):
        ClassFolderSource(class_folder, group_pattern="patient")
    with pytest.raises(InputError, match="expected a regular expression"):
        ClassFolderSource(class_folder, group_pattern="(")
    with pytest.raises(InputError, match="expected numbers of at least 0 that add up to 1"):
        ClassFolderSource(class_folder, roles={"meta_train": 0.5})
    with pytest.raises(InputError, match="no class folders"):
        ClassFolderSource(class_folder / "nv" / "deeper")
    (class_folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"class empty in .* has no images"):
        ClassFolderSource(class_folder)


def test_a_link_out_of_the_folder_is_refused(class_folder: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "secret.png", 0)
    (class_folder / "mel" / "z.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match=r"mel/z\.png lies outside"):
        list(ClassFolderSource(class_folder).records())


def test_manifests(tmp_path: Path) -> None:
    folder = tmp_path / "clinic"
    write_png(folder / "images" / "a.png", 0)
    write_png(tmp_path / "elsewhere" / "b.png", 1)
    (folder / "manifest.csv").write_text(
        "file,label,group,role,age,sex,text\n"
        "images/a.png,mel,g1,meta_train,60,male,a note\n"
        f"{tmp_path}/elsewhere/b.png,nv,g2,meta_val,,,\n",
        encoding="utf-8",
    )
    source = open_source("manifest", str(folder / "manifest.csv"))
    dataset = ingest(source, tmp_path / "store")
    assert (dataset.name, len(source)) == ("clinic", 2)
    assert dataset.frame["label"].tolist() == ["mel", "nv"]
    assert dataset.frame["age"][0] == 60
    assert dataset.frame["text"].tolist() == ["a note", ""]
    assert ManifestSource(folder / "manifest.csv", name="x").name == "x"
    renamed = (folder / "manifest.csv").rename(folder / "spring.csv")
    assert ManifestSource(renamed).name == "spring"


def test_a_manifest_in_the_working_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "manifest.csv").write_text(
        "file,label,group,role\na.png,x,g,meta_train\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    assert ManifestSource(Path("manifest.csv")).name == tmp_path.name


def test_manifest_rows_without_a_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "file,label,group,role\ngone.png,x,g,meta_train\n../up.png,x,h,meta_train\n",
        encoding="utf-8",
    )
    records = ManifestSource(tmp_path / "m.csv").records()
    with pytest.raises(ImageError, match=r"gone\.png: cannot be read"):
        next(records).read()
    with pytest.raises(InputError, match=r"\.\./up\.png lies outside"):
        next(records)
    with pytest.raises(ManifestError):
        ManifestSource(tmp_path / "none.csv")


def test_phantoms_depend_on_seed_class_and_number_alone() -> None:
    few = PhantomSource(classes=["angioma"], images_per_class=2, size=32)
    many = PhantomSource(images_per_class=3, size=32, novel_test=4)
    by_name = {record.name: record for record in many.records()}
    for record in few.records():
        assert record.read() == by_name[record.name].read()
    other = PhantomSource(classes=["angioma"], images_per_class=2, size=32, seed=1)
    assert next(other.records()).read() != next(few.records()).read()
    assert decode_image(next(few.records()).read(), name="a").pixels.shape == (32, 32, 3)


def test_phantom_classes_and_roles() -> None:
    source = PhantomSource("drawn", images_per_class=8, novel_test=3, novel_val=["melanoma"])
    names = list(PHANTOM_CLASSES)
    roles: dict[str, list[str]] = {}
    for record in source.records():
        roles.setdefault(record.label, []).append(record.role)
        assert record.label.split("_")[0] not in record.text
    assert len(source) == 8 * len(names)
    assert list(roles) == names
    for name in names[-3:]:
        assert set(roles[name]) == {"novel_test"}
    assert set(roles["melanoma"]) == {"novel_val"}
    assert sorted(roles[names[0]]) == ["meta_train"] * 6 + ["meta_val"] * 2


def test_wrong_phantom_options_are_named() -> None:
    with pytest.raises(UnknownNameError, match="phantom class 'wart'"):
        PhantomSource(classes=["wart"])
    with pytest.raises(UnknownNameError, match="phantom class 'angioma'; expected one of melanoma"):
        PhantomSource(classes=["melanoma"], novel_test=["angioma"])
    with pytest.raises(InputError, match="99 phantom classes"):
        PhantomSource(classes=99)
    with pytest.raises(InputError, match="99 novel phantom classes"):
        PhantomSource(novel_val=99)
    with pytest.raises(InputError, match="each class once"):
        PhantomSource(classes=["angioma", "angioma"])
    with pytest.raises(InputError, match="size 8"):
        PhantomSource(size=8)


def test_sources_open_by_kind(class_folder: Path) -> None:
    assert open_source("folder", str(class_folder), name="x").name == "x"
    assert open_source("phantom", "drawn", classes=2).name == "drawn"
    with pytest.raises(UnknownNameError, match="source kind 'ftp'; expected one of dicom, folder"):
        open_source("ftp", "x")
    with pytest.raises(InputError, match=r"source folder: .*colour.*; expected options among name"):
        open_source("folder", str(class_folder), colour="red")
    with pytest.raises(InputError, match="source folder: no location"):
        open_source("folder", "")
