from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sgps.datasets._shards import FRAME_COLUMNS
from sgps.datasets.decoding import hash_pixels
from sgps.datasets.ingest import ingest
from sgps.datasets.preprocessing import resize_and_crop
from sgps.datasets.sources.phantom import PhantomSource
from sgps.datasets.storage import StoredDataset, find_datasets
from sgps.errors import InputError, IntegrityError, UnknownNameError


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredDataset:
    source = PhantomSource(classes=3, images_per_class=30, size=40)
    return ingest(source, tmp_path_factory.mktemp("store"), rows_per_shard=50)


@pytest.fixture
def own(tmp_path: Path) -> StoredDataset:
    """A dataset that a test may damage."""
    return ingest(PhantomSource(classes=2, images_per_class=2, size=32), tmp_path)


def test_a_dataset_opens_as_it_was_written(stored: StoredDataset) -> None:
    opened = StoredDataset.open(stored.folder)
    assert (opened.name, opened.digest, len(opened)) == ("phantom", stored.digest, 90)
    assert tuple(opened.frame.columns) == FRAME_COLUMNS
    assert isinstance(opened.frame.index, pd.RangeIndex)
    pd.testing.assert_frame_equal(opened.frame, stored.frame)
    assert opened.description.roles == {"meta_train": 66, "meta_val": 24}
    assert "90" in repr(opened)


def test_every_row_gives_its_own_pixels(stored: StoredDataset) -> None:
    for index in (0, 31, 32, 49, 50, 89, 3):
        assert hash_pixels(stored.pixels(index)) == stored.frame["pixel_sha256"][index]


def test_images_come_in_the_order_asked(stored: StoredDataset) -> None:
    indices = [80, 3, 51, 3, 0]
    images = stored.images(24, indices)
    assert images.shape == (5, 3, 24, 24)
    assert images.dtype == np.uint8
    for image, index in zip(images, indices, strict=True):
        expected = resize_and_crop(stored.pixels(index), 24).transpose(2, 0, 1)
        assert np.array_equal(image, expected)
    assert stored.images(24, []).shape == (0, 3, 24, 24)


def test_all_images_and_progress(stored: StoredDataset) -> None:
    told: list[tuple[int, int]] = []
    images = stored.images(16, progress=lambda done, total: told.append((done, total)))
    assert images.shape == (90, 3, 16, 16)
    assert told == [(64, 90), (90, 90)]
    assert np.array_equal(images[[7]], stored.images(16, [7]))


def test_numpy_indices_are_taken(stored: StoredDataset) -> None:
    indices = stored.frame.index[stored.frame["role"] == "meta_val"].to_numpy()
    assert len(stored.images(16, indices)) == 24


@pytest.mark.parametrize("index", [-1, 90])
def test_unknown_rows_are_named(stored: StoredDataset, index: int) -> None:
    with pytest.raises(InputError, match=f"row {index} of dataset phantom; expected 0 to 89"):
        stored.pixels(index)
    with pytest.raises(InputError, match=f"row {index}"):
        stored.images(16, [0, index])
    with pytest.raises(InputError, match="image size 0"):
        stored.images(0)


def test_an_unknown_dataset_names_those_there_are(own: StoredDataset) -> None:
    with pytest.raises(UnknownNameError, match=r"no dataset in .*missing; expected one of phantom"):
        StoredDataset.open(own.folder.parent / "missing")
    with pytest.raises(UnknownNameError, match=r"expected a dataset\.json"):
        StoredDataset.open(own.folder / "x" / "missing")


def test_datasets_are_found_by_name(own: StoredDataset) -> None:
    root = own.folder.parent
    ingest(PhantomSource("another", classes=2, images_per_class=1, size=32), root)
    (root / ".phantom.0123.partial").mkdir()
    (root / ".phantom.0123.partial" / "dataset.json").write_text("{}", encoding="utf-8")
    (root / "notes").mkdir()
    assert [dataset.name for dataset in find_datasets(root)] == ["another", "phantom"]
    assert find_datasets(root / "nowhere") == []


def test_a_changed_shard_is_refused(own: StoredDataset) -> None:
    path = own.folder / "shard-00000.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"shard-00000\.parquet: its SHA-256 is not the one"):
        StoredDataset.open(own.folder)


def test_a_missing_shard_is_refused(own: StoredDataset) -> None:
    (own.folder / "shard-00000.parquet").unlink()
    for verify in (True, False):
        with pytest.raises(IntegrityError, match=r"shard-00000\.parquet: missing"):
            StoredDataset.open(own.folder, verify=verify)


def test_a_truncated_shard_is_refused_without_hashing_too(own: StoredDataset) -> None:
    path = own.folder / "shard-00000.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(IntegrityError):
        StoredDataset.open(own.folder, verify=False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "other"),
        ("format_version", 2),
        ("digest", "0" * 64),
        ("images", 5),
        ("shards", [{"file": "../shard-00000.parquet", "rows": 1, "sha256": ""}]),
        ("shards", [{"file": "shard-00000.parquet"}]),
        ("shards", []),
        ("surprise", 1),
    ],
)
def test_a_foreign_description_is_refused(own: StoredDataset, field: str, value: object) -> None:
    path = own.folder / "dataset.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, field: value}), encoding="utf-8")
    with pytest.raises(IntegrityError):
        StoredDataset.open(own.folder)


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '{"format": "sgps-dataset"}'])
def test_a_damaged_description_is_refused(own: StoredDataset, content: str) -> None:
    (own.folder / "dataset.json").write_text(content, encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"dataset\.json: damaged"):
        StoredDataset.open(own.folder)
