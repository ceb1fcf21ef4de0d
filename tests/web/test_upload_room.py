"""How much the store of dropped images holds, and what is left of one that could not be kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sending import drop, picture, services
from starlette.testclient import TestClient

from sgps.datasets.decoding import ImageLimits
from sgps.errors import QueueFullError, StoreError
from sgps.settings import Settings
from sgps.web.uploads import UploadStore


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_bytes_are_counted_and_turned_away(
    open_client: Callable[..., TestClient], settings: Settings
) -> None:
    folder = settings.home_folder / "uploads"
    kept = drop(open_client(), 1)
    client = open_client(max_upload_store_bytes=_size(folder) + 100)
    refused = client.post("/api/images", content=picture(2))
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert "no room" in error["what"]
    assert error["expected"].startswith("at most 0 MB")
    assert "SGPS_MAX_UPLOAD_STORE_BYTES" in error["remedy"]
    assert "retry-after" in refused.headers
    assert {path.name.partition(".")[0] for path in folder.iterdir()} == {kept}
    assert client.delete(f"/api/images/{kept}").status_code == 204
    assert client.post("/api/images", content=picture(2)).status_code == 201


def test_a_full_store_reads_no_image(tmp_path: Path) -> None:
    store = UploadStore(tmp_path, ImageLimits(), most_bytes=10)
    (tmp_path / "left.png").write_bytes(bytes(10))
    with pytest.raises(QueueFullError, match="no room"):
        store.add(b"no image at all")


@pytest.mark.parametrize("failing", [".json", ".png", ".small.png"])
def test_nothing_is_left_of_an_image_that_could_not_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    store = UploadStore(tmp_path / "uploads", ImageLimits())
    replace = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if str(target).endswith(failing) and (failing != ".png" or ".small" not in str(target)):
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(StoreError, match="No space left"):
        store.add(picture(1))
    assert list(store.folder.iterdir()) == []


def test_the_facts_are_there_before_the_image(client: TestClient, settings: Settings) -> None:
    kept = drop(client, 1)
    folder = settings.home_folder / "uploads"
    times = [(folder / f"{kept}{end}").stat().st_mtime_ns for end in (".json", ".png")]
    assert times == sorted(times)


def test_what_belongs_to_no_image_is_swept(client: TestClient, settings: Settings) -> None:
    kept = drop(client, 1)
    folder = settings.home_folder / "uploads"
    orphan, scratch, fresh = folder / f"{'a' * 32}.png", folder / ".half", folder / "b.png"
    for path in (orphan, scratch, fresh):
        path.write_bytes(b"x")
    for path in folder.iterdir():
        if path != fresh:
            os.utime(path, (time.time() - 3_600,) * 2)
    assert services(client).uploads.sweep() == 2
    assert {path.name.partition(".")[0] for path in folder.iterdir()} == {kept, "b"}
