import hashlib
from pathlib import Path

import pytest
from isic_archive import Archive, read_all, source_of

from sgps.datasets.sources._download import Downloader
from sgps.datasets.sources.isic import IsicSource
from sgps.errors import InputError, IntegrityError, StoreError


def test_a_second_run_downloads_nothing(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    assert read_all(source_of(archive, tmp_path, downloader)) == archive.files
    asked = len(archive.requests)
    again = source_of(archive, tmp_path, downloader, allow_download=False)
    assert read_all(again) == archive.files
    assert len(archive.requests) == asked


def test_a_broken_download_goes_on_where_it_stopped(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    archive.faults["break off"] = 1
    name = "ISIC_0000000.png"
    record = next(source_of(archive, tmp_path, downloader).records())
    assert record.read() == archive.files[name]
    half = len(archive.files[name]) // 2
    assert archive.asked_for(name) == ["", f"bytes={half}-"]
    assert [path.name for path in (tmp_path / "images").iterdir()] == [name]


def test_a_server_without_ranges_starts_the_file_anew(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    archive.faults.update({"break off": 1, "no range": 1})
    record = next(source_of(archive, tmp_path, downloader).records())
    assert record.read() == archive.files["ISIC_0000000.png"]


def test_a_part_left_by_a_killed_run_is_taken_up(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    name = "ISIC_0000000.png"
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"{name}.part").write_bytes(archive.files[name][:100])
    record = next(source_of(archive, tmp_path, downloader).records())
    assert record.read() == archive.files[name]
    assert archive.asked_for(name) == ["bytes=100-"]


def checked_source(archive: Archive, tmp_path: Path, downloader: Downloader) -> IsicSource:
    """A source that knows the SHA-256 of every file, in the folder ``isic``."""
    checksums = tmp_path / "SHA256SUMS"
    lines = [
        f"{hashlib.sha256(data).hexdigest()}  images/{name}" for name, data in archive.files.items()
    ]
    checksums.write_text("\n".join(lines))
    return source_of(archive, tmp_path / "isic", downloader, checksums=checksums)


def test_a_file_corrupted_once_is_fetched_again(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    archive.faults["corrupt"] = 1
    record = next(checked_source(archive, tmp_path, downloader).records())
    assert record.read() == archive.files["ISIC_0000000.png"]
    assert len(archive.asked_for("ISIC_0000000")) == 2


def test_a_file_that_stays_corrupted_is_an_integrity_error(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    archive.faults["corrupt"] = 99
    record = next(checked_source(archive, tmp_path, downloader).records())
    with pytest.raises(IntegrityError, match="sha256"):
        record.read()
    assert list((tmp_path / "isic" / "images").iterdir()) == []


def test_a_file_damaged_on_disk_is_noticed_and_replaced(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    read_all(source_of(archive, tmp_path, downloader))
    damaged = tmp_path / "images" / "ISIC_0000003.png"
    data = bytearray(damaged.read_bytes())
    data[50] ^= 1
    damaged.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match="damaged"):
        read_all(source_of(archive, tmp_path, downloader, allow_download=False))
    assert read_all(source_of(archive, tmp_path, downloader)) == archive.files


def test_a_file_changed_at_the_archive_is_noticed(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    read_all(source_of(archive, tmp_path, downloader))
    name = "ISIC_0000003.png"
    (tmp_path / "images" / name).unlink()
    archive.files[name] = archive.files[name][::-1]
    with pytest.raises(IntegrityError):
        read_all(source_of(archive, tmp_path, downloader))


def test_a_busy_server_is_asked_again(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    archive.faults["busy"] = 2
    assert len(source_of(archive, tmp_path, downloader)) == 8


def test_a_server_that_stays_busy_is_a_store_error(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    archive.faults["busy"] = 99
    with pytest.raises(StoreError, match="HTTP 503"):
        len(source_of(archive, tmp_path, downloader))
    assert not (tmp_path / "listing.json").exists()


def test_a_missing_file_is_a_store_error(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    source = source_of(archive, tmp_path, downloader)
    record = next(source.records())
    archive.files.clear()
    with pytest.raises(StoreError, match="HTTP 404"):
        record.read()


def test_a_redirect_to_another_host_is_refused(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    archive.redirect = "localhost"
    record = next(source_of(archive, tmp_path, downloader).records())
    with pytest.raises(InputError, match="not a place to download from"):
        record.read()
    allowed = Downloader(["127.0.0.1", "localhost"], attempts=2, pause=0.01)
    record = next(source_of(archive, tmp_path, allowed).records())
    assert record.read() == archive.files["ISIC_0000000.png"]


@pytest.mark.parametrize(
    "url",
    [
        "http://api.isic-archive.com/x.jpg",
        "https://evil.example/x.jpg",
        "https://api.isic-archive.com.evil.example/x.jpg",
        "https://user@api.isic-archive.com/x.jpg",
        "file:///etc/passwd",
        "https://isic-archive.com.evil/x",
    ],
)
def test_only_allowed_hosts_over_https(tmp_path: Path, url: str) -> None:
    strict = Downloader(["api.isic-archive.com", "*.isic-archive.com"], attempts=1)
    with pytest.raises(InputError, match="not a place to download from"):
        strict.get_json(url)


def test_bytes_are_limited(archive: Archive, tmp_path: Path, downloader: Downloader) -> None:
    source = source_of(archive, tmp_path, downloader, max_file_bytes=1000)
    with pytest.raises(InputError, match="too large"):
        next(source.records()).read()
    assert list((tmp_path / "images").iterdir()) == []
    with pytest.raises(InputError, match="at most 5,000"):
        len(source_of(archive, tmp_path, downloader, max_total_bytes=5000))
