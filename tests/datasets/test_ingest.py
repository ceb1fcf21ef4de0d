from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgps.datasets import _shards
from sgps.datasets.decoding import ImageLimits, encode_png, hash_pixels
from sgps.datasets.ingest import ingest
from sgps.datasets.records import ImageRecord
from sgps.datasets.storage import StoredDataset
from sgps.errors import ImageError, InputError, StoreError


def picture(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def record(number: int, data: bytes | None = None, **changes: object) -> ImageRecord:
    content = encode_png(picture(number)) if data is None else data
    values: dict[str, object] = {
        "name": f"{number:03d}.png",
        "label": f"class{number % 2}",
        "group": f"g{number}",
        "role": "meta_train",
        "read": lambda: content,
    }
    return ImageRecord(**{**values, **changes})


class ListSource:
    def __init__(self, records: list[ImageRecord], name: str = "listed") -> None:
        self.name = name
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def records(self) -> Iterator[ImageRecord]:
        yield from self._records


def leftovers(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_images_and_their_metadata_are_stored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "camera"
    buffer = io.BytesIO()
    Image.fromarray(picture(0)).save(buffer, format="PNG", exif=exif)
    known = {"sex": "F", "age": 51.0, "site": "back", "text": "a\nnote", "extra": "x=1"}
    dataset = ingest(ListSource([record(0, buffer.getvalue(), **known), record(1)]), tmp_path)
    assert dataset.name == "listed"
    assert dataset.folder == tmp_path / "listed"
    row = dataset.frame.iloc[0]
    assert (row["sex"], row["age"], row["site"]) == ("female", 51.0, "back")
    assert (row["text"], row["extra"], row["metadata_removed"]) == ("a\nnote", "x=1", "exif")
    assert (row["width"], row["height"]) == (32, 24)
    assert row["pixel_sha256"] == hash_pixels(picture(0))
    assert np.isnan(dataset.frame["age"][1])
    assert np.array_equal(dataset.pixels(0), picture(0))
    assert dataset.description.classes == {"class0": 1, "class1": 1}
    assert b"camera" not in dataset.png_bytes(0)


def test_long_sides_are_shrunk_and_hashed_as_stored(tmp_path: Path) -> None:
    source = ListSource([record(0, encode_png(picture(0, 40, 80)))])
    dataset = ingest(source, tmp_path, max_side=32)
    assert dataset.pixels(0).shape == (16, 32, 3)
    assert (dataset.frame["width"][0], dataset.frame["height"][0]) == (32, 16)
    assert dataset.frame["pixel_sha256"][0] == hash_pixels(dataset.pixels(0))


def test_the_digest_depends_on_the_images_and_not_on_their_layout(tmp_path: Path) -> None:
    records = [record(number) for number in range(7)]
    one = ingest(ListSource(records), tmp_path / "a")
    other = ingest(ListSource(records[::-1], name="other"), tmp_path / "b", rows_per_shard=2)
    assert len(other.description.shards) == 4
    assert one.digest == other.digest
    changed = [record(0, role="meta_val"), *records[1:]]
    assert ingest(ListSource(changed), tmp_path / "c").digest != one.digest
    repainted = [record(0, encode_png(picture(99))), *records[1:]]
    assert ingest(ListSource(repainted), tmp_path / "d").digest != one.digest


def test_the_same_images_give_the_same_files(tmp_path: Path) -> None:
    records = [record(number) for number in range(5)]
    for root in ("a", "b"):
        ingest(ListSource(records), tmp_path / root, rows_per_shard=2)
    for path in (tmp_path / "a" / "listed").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / "listed" / path.name).read_bytes()


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    ingest(
        ListSource([record(number) for number in range(40)]),
        tmp_path,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(32, 40), (40, 40)]


def test_bad_images_are_all_named_and_nothing_is_left(tmp_path: Path) -> None:
    records = [record(number) for number in range(6)]
    records[1] = record(1, b"no image")
    records[4] = record(4, encode_png(picture(4))[:-40])
    with pytest.raises(ImageError) as caught:
        ingest(ListSource(records), tmp_path, rows_per_shard=1)
    message = str(caught.value)
    assert "dataset listed was not stored, 2 images cannot be used: 001.png: not an" in message
    assert "004.png: cannot be decoded" in message
    assert leftovers(tmp_path) == []


def test_at_most_twenty_bad_images_are_named(tmp_path: Path) -> None:
    read: list[int] = []

    def broken(number: int) -> ImageRecord:
        def read_bytes() -> bytes:
            read.append(number)
            return b"x"

        return record(number, read=read_bytes)

    with pytest.raises(ImageError, match="the first found") as caught:
        ingest(ListSource([broken(number) for number in range(200)]), tmp_path)
    assert str(caught.value).count("not an image") == 20
    assert len(read) < 100


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "gone.png"
    with pytest.raises(ImageError, match=r"000\.png: cannot be read"):
        ingest(ListSource([record(0, read=missing.read_bytes)]), tmp_path / "root")


def test_limits_reach_the_decoder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"000\.png: 32 x 24 pixels; expected at most 100 pixels"):
        ingest(ListSource([record(0)]), tmp_path, limits=ImageLimits(max_pixels=100))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "train"}, "file 001.png: role 'train' is unknown; expected meta_train"),
        ({"label": " "}, "file '001.png': label ' '; expected printable characters"),
        ({"group": "a\0b"}, "file '001.png': group"),
        ({"name": "000.png"}, "file 000.png comes twice"),
    ],
)
def test_a_wrong_record_is_named(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ingest(ListSource([record(0), record(1, **changes)]), tmp_path)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "x" * 101, "/abs"])
def test_dataset_names_are_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="dataset name"):
        ingest(ListSource([record(0)], name=name), tmp_path / "root")
    assert leftovers(tmp_path) == []


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dataset listed: no images"):
        ingest(ListSource([]), tmp_path)
    assert leftovers(tmp_path) == []


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_side 8, rows_per_shard 512"):
        ingest(ListSource([record(0)]), tmp_path, max_side=8)


def test_a_dataset_is_replaced_only_when_asked(tmp_path: Path) -> None:
    first = ingest(ListSource([record(0), record(1)]), tmp_path)
    with pytest.raises(StoreError, match="exists already; expected a free name"):
        ingest(ListSource([record(2)]), tmp_path)
    assert StoredDataset.open(first.folder).digest == first.digest
    second = ingest(ListSource([record(2)]), tmp_path, overwrite=True)
    assert len(second) == 1
    assert leftovers(tmp_path) == ["listed"]


def test_a_failed_replacement_leaves_the_old_dataset(tmp_path: Path) -> None:
    first = ingest(ListSource([record(0)]), tmp_path)
    with pytest.raises(ImageError):
        ingest(ListSource([record(1, b"x")]), tmp_path, overwrite=True)
    assert StoredDataset.open(first.folder).digest == first.digest
    assert leftovers(tmp_path) == ["listed"]


def test_a_failed_move_brings_the_old_dataset_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ingest(ListSource([record(0)]), tmp_path)
    rename = Path.rename

    def refuse_new(self: Path, target: Path) -> Path:
        if self.suffix == ".partial":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(StoreError, match="cannot be written"):
        ingest(ListSource([record(1)]), tmp_path, overwrite=True)
    assert StoredDataset.open(first.folder).digest == first.digest
    assert leftovers(tmp_path) == ["listed"]


def test_what_is_no_dataset_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed" / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(StoreError, match="exists and is not a dataset"):
        ingest(ListSource([record(0)]), tmp_path, overwrite=True)
    assert leftovers(tmp_path / "listed") == ["thesis.txt"]


def test_a_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file/below: cannot be written"):
        ingest(ListSource([record(0)]), tmp_path / "file" / "below")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_shards.pq, "write_table", no_room)
    with pytest.raises(StoreError, match="No space left on device"):
        ingest(ListSource([record(0)]), tmp_path)
    assert leftovers(tmp_path) == []


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupt() -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(ListSource([record(0), record(1, read=interrupt)]), tmp_path)
    assert leftovers(tmp_path) == []
