import hashlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgps.datasets.ingest import ingest
from sgps.datasets.sources import medmnist as medmnist_source
from sgps.datasets.sources import open_source
from sgps.datasets.sources.medmnist import MedMnistSource
from sgps.errors import InputError, IntegrityError, UnknownNameError

COUNTS = {"train": 6, "val": 2, "test": 3}


def write_npz(
    root: Path, flag: str = "bloodmnist", *, size: int = 28, colours: bool = True, **arrays: object
) -> Path:
    rng = np.random.default_rng(0)
    values: dict[str, object] = {}
    for split, count in COUNTS.items():
        shape = (count, size, size, 3) if colours else (count, size, size)
        values[f"{split}_images"] = rng.integers(0, 255, shape, dtype=np.uint8)
        values[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    values.update(arrays)
    root.mkdir(parents=True, exist_ok=True)
    path = root / (f"{flag}.npz" if size == 28 else f"{flag}_{size}.npz")
    np.savez_compressed(path, **values)
    return path


def test_every_image_is_its_own_group_with_the_role_of_its_split(tmp_path: Path) -> None:
    path = write_npz(tmp_path)
    source = MedMnistSource("bloodmnist", root=tmp_path, verify=False)
    records = list(source.records())
    assert len(source) == len(records) == 11
    assert len({record.group for record in records}) == 11
    assert [record.role for record in records] == (
        ["meta_train"] * 6 + ["meta_val"] * 2 + ["novel_test"] * 3
    )
    assert {record.label for record in records} == {"basophil", "eosinophil"}
    with np.load(path) as arrays, Image.open(io.BytesIO(records[7].read())) as image:
        np.testing.assert_array_equal(np.asarray(image), arrays["val_images"][1])
    assert records[0].extra == "license=CC BY 4.0"


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    write_npz(tmp_path, "breastmnist", size=64, colours=False)
    source = MedMnistSource("breastmnist", root=tmp_path, size=64, verify=False)
    assert source.name == "breastmnist_64"
    with Image.open(io.BytesIO(next(source.records()).read())) as image:
        assert (image.mode, image.size) == ("RGB", (64, 64))


def test_a_whole_dataset_can_be_held_out(tmp_path: Path) -> None:
    write_npz(tmp_path)
    source = open_source(
        "medmnist", "bloodmnist", root=str(tmp_path), verify=False, roles={"test": "novel_test"}
    )
    dataset = ingest(source, tmp_path / "store")
    assert set(dataset.frame["role"]) == {"novel_test"}
    assert len(dataset) == 3


def test_a_missing_file_says_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="downloads are off") as caught:
        MedMnistSource("bloodmnist", root=tmp_path, size=128)
    assert str(tmp_path / "bloodmnist_128.npz") in str(caught.value)
    assert "https://zenodo.org/" in str(caught.value)


def test_the_published_md5_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_npz(tmp_path)
    with pytest.raises(IntegrityError, match="MD5"):
        MedMnistSource("bloodmnist", root=tmp_path)
    published = dict(medmnist_source._catalogue()["bloodmnist"])
    published["MD5"] = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(medmnist_source, "_catalogue", lambda: {"bloodmnist": published})
    assert len(MedMnistSource("bloodmnist", root=tmp_path)) == 11


@pytest.mark.parametrize(
    "arrays",
    [
        {"train_images": np.zeros((6, 28, 28, 3), dtype=np.float32)},
        {"train_images": np.zeros((5, 28, 28, 3), dtype=np.uint8)},
        {"train_images": np.array([{}] * 6, dtype=object)},
        {"train_labels": np.full((6, 1), 99, dtype=np.uint8)},
        {"train_labels": np.zeros((6, 14), dtype=np.uint8)},
    ],
    ids=["floats", "count", "objects", "label", "several-labels"],
)
def test_another_form_is_an_integrity_error(tmp_path: Path, arrays: dict[str, object]) -> None:
    write_npz(tmp_path, **arrays)
    with pytest.raises(IntegrityError):
        list(MedMnistSource("bloodmnist", root=tmp_path, verify=False).records())


def test_a_truncated_file_is_an_integrity_error(tmp_path: Path) -> None:
    path = write_npz(tmp_path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(IntegrityError, match="cannot be read"):
        MedMnistSource("bloodmnist", root=tmp_path, verify=False)


@pytest.mark.parametrize(
    ("flag", "options", "error", "words"),
    [
        ("boneMNIST", {}, UnknownNameError, "bloodmnist"),
        ("chestmnist", {}, InputError, "several labels"),
        ("organmnist3d", {}, InputError, "volumes"),
        ("bloodmnist", {"size": 30}, InputError, "28 or 64"),
        ("bloodmnist", {"roles": {"train": "training"}}, InputError, "meta_train"),
        ("bloodmnist", {"roles": {}}, InputError, "at least one split"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, flag: str, options: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        MedMnistSource(flag, root=tmp_path, **options)


def test_the_package_is_read_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    before = "medmnist" in sys.modules
    medmnist_source._catalogue.cache_clear()
    assert len(medmnist_source._catalogue()) == 18
    assert ("medmnist" in sys.modules) == before
    assert not (tmp_path / "home").exists()
