import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from sgps.datasets.decoding import encode_png
from sgps.datasets.ingest import ingest
from sgps.datasets.sources import open_source
from sgps.datasets.sources._download import Downloader
from sgps.datasets.sources.isic import IsicSource
from sgps.errors import InputError, IntegrityError, StoreError

PAGE = 3


class Archive:
    """A small ISIC archive on this machine, with the faults of a real network on demand."""

    def __init__(self) -> None:
        self.images = [self._image(number) for number in range(8)]
        self.files = {
            f"ISIC_{number:07d}.png": encode_png(
                np.random.default_rng(number).integers(0, 255, (60, 70, 3), dtype=np.uint8)
            )
            for number in range(8)
        }
        self.requests: list[tuple[str, str]] = []
        self.faults: Counter[str] = Counter()
        self.redirect = ""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def asked_for(self, part: str) -> list[str]:
        """Range headers of the requests whose path holds ``part``."""
        return [given for path, given in self.requests if part in path]

    @staticmethod
    def _image(number: int) -> dict[str, Any]:
        clinical: dict[str, Any] = {
            "sex": "female" if number % 2 else "male",
            "age_approx": 40 + 5 * number,
            "anatom_site_general": "lower extremity",
            "diagnosis_1": "Benign",
            "diagnosis_3": "Nevus" if number % 2 else "Melanoma, NOS",
        }
        if number in (0, 1):
            clinical.update(lesion_id="IL_1", patient_id="IP_9")
        if number == 2:
            clinical["lesion_id"] = "IL_1"
        if number == 3:
            clinical["lesion_id"] = "IL_7"
        return {
            "isic_id": f"ISIC_{number:07d}",
            "copyright_license": "CC-BY",
            "attribution": "A clinic",
            "metadata": {
                "acquisition": {"image_type": "dermoscopic", "pixels_x": 70},
                "clinical": clinical,
            },
        }

    def page(self, start: int) -> dict[str, Any]:
        results = []
        for image in self.images[start : start + PAGE]:
            file = f"{image['isic_id']}.png"
            full = {"url": f"{self.address}/files/{file}", "size": len(self.files.get(file, b""))}
            results.append({**image, "files": {"full": full}})
        more = start + PAGE < len(self.images)
        following = f"{self.address}/api/v2/images/search/?cursor={start + PAGE}" if more else None
        return {"count": len(self.images), "next": following, "results": results}

    def take(self, fault: str) -> bool:
        if self.faults[fault] > 0:
            self.faults[fault] -= 1
            return True
        return False

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        archive = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                archive.requests.append((self.path, self.headers.get("Range", "")))
                parts = urlsplit(self.path)
                if archive.take("busy"):
                    self._send(503, b"busy")
                elif parts.path.startswith("/api/v2/images/search/"):
                    start = int(parse_qs(parts.query).get("cursor", ["0"])[0])
                    self._send(200, json.dumps(archive.page(start)).encode())
                else:
                    self._send_file(parts.path.rsplit("/", 1)[-1])

            def _send_file(self, name: str) -> None:
                if archive.redirect and archive.redirect not in self.headers["Host"]:
                    port = archive.server.server_port
                    place = f"http://{archive.redirect}:{port}/files/{name}"
                    self._send(302, b"", {"Location": place})
                    return
                data = archive.files.get(name)
                if data is None:
                    self._send(404, b"")
                    return
                if archive.take("corrupt"):
                    data = data[:-1] + bytes([data[-1] ^ 255])
                match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                start = int(match[1]) if match and not archive.faults["no range"] else 0
                headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
                cut = len(data) // 2 if archive.take("break off") else None
                self._send(206 if start else 200, data[start:], headers if start else {}, cut=cut)

            def _send(
                self,
                status: int,
                body: bytes,
                headers: dict[str, str] | None = None,
                cut: int | None = None,
            ) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:cut])
                if cut is not None:
                    self.close_connection = True

        return Handler


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    small = Archive()
    thread = threading.Thread(target=small.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield small
    small.server.shutdown()
    small.server.server_close()
    thread.join()


@pytest.fixture
def downloader() -> Downloader:
    return Downloader(["127.0.0.1"], attempts=3, pause=0.01, timeout=5)


def source_of(archive: Archive, root: Path, downloader: Downloader, **options: Any) -> IsicSource:
    return IsicSource(
        root=root, base_url=f"{archive.address}/api/v2", downloader=downloader, **options
    )


def read_all(source: IsicSource) -> dict[str, bytes]:
    return {record.name: record.read() for record in source.records()}


def test_pages_are_followed_and_clinical_fields_are_kept(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    source = source_of(archive, tmp_path, downloader)
    records = list(source.records())
    assert len(source) == 8
    assert len(archive.asked_for("/images/search/")) == 3
    assert archive.asked_for("/files/") == []
    first = records[0]
    assert (first.label, first.sex, first.age) == ("Melanoma, NOS", "male", 40.0)
    assert first.site == "lower extremity"
    assert "license=CC-BY" in first.extra
    assert "image_type=dermoscopic" in first.extra


def test_the_group_is_the_patient_then_the_lesion_then_the_image(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    groups = [record.group for record in source_of(archive, tmp_path, downloader).records()]
    assert groups[:5] == ["IP_9", "IP_9", "IP_9", "IL_7", "ISIC_0000004"]


def test_images_without_a_label_are_left_out_and_counted(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    for number in (1, 5):
        archive.images[number]["metadata"]["clinical"] = None
    source = source_of(archive, tmp_path, downloader)
    assert (len(source), source.skipped) == (6, 2)
    other = source_of(archive, tmp_path / "x", downloader, label_field="diagnosis_1")
    assert {record.label for record in other.records()} == {"Benign"}
    with pytest.raises(InputError, match="no image with a diagnosis"):
        len(source_of(archive, tmp_path / "y", downloader, label_field="diagnosis_4"))


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


def checksums_file(archive: Archive, tmp_path: Path) -> Path:
    path = tmp_path / "SHA256SUMS"
    lines = [
        f"{hashlib.sha256(data).hexdigest()}  images/{name}" for name, data in archive.files.items()
    ]
    path.write_text("\n".join(lines))
    return path


def test_a_file_corrupted_once_is_fetched_again(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    archive.faults["corrupt"] = 1
    checksums = checksums_file(archive, tmp_path)
    source = source_of(archive, tmp_path / "isic", downloader, checksums=checksums)
    assert next(source.records()).read() == archive.files["ISIC_0000000.png"]
    assert len(archive.asked_for("ISIC_0000000")) == 2


def test_a_file_that_stays_corrupted_is_an_integrity_error(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    archive.faults["corrupt"] = 99
    checksums = checksums_file(archive, tmp_path)
    source = source_of(archive, tmp_path / "isic", downloader, checksums=checksums)
    with pytest.raises(IntegrityError, match="sha256"):
        next(source.records()).read()
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


def test_pages_are_limited(archive: Archive, tmp_path: Path, downloader: Downloader) -> None:
    with pytest.raises(InputError, match="at most 2 pages"):
        len(source_of(archive, tmp_path, downloader, max_pages=2))
    assert len(source_of(archive, tmp_path, downloader, limit=4)) == 4
    assert len(archive.asked_for("/images/search/")) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"isic_id": "../../etc/passwd"},
        {"isic_id": None},
        {"files": {"full": {"url": "https://x/y.exe"}}},
        {"files": 3},
    ],
)
def test_a_strange_listing_is_an_input_error(
    archive: Archive,
    tmp_path: Path,
    downloader: Downloader,
    change: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = archive.page(0)
    page["results"][0].update(change)
    monkeypatch.setattr(archive, "page", lambda start: page)
    with pytest.raises(InputError):
        len(source_of(archive, tmp_path, downloader))


def test_another_request_is_not_answered_from_the_listing_of_before(
    archive: Archive, tmp_path: Path, downloader: Downloader
) -> None:
    len(source_of(archive, tmp_path, downloader))
    with pytest.raises(InputError, match="downloads are off"):
        len(source_of(archive, tmp_path, downloader, collections="66", allow_download=False))
    len(source_of(archive, tmp_path, downloader, collections="66, 70", query="sex:male"))
    asked = [path for path, _ in archive.requests if "collections" in path]
    assert parse_qs(urlsplit(asked[0]).query)["collections"] == ["66,70"]
    assert parse_qs(urlsplit(asked[0]).query)["query"] == ["sex:male"]


@pytest.mark.parametrize(
    "options",
    [{"collections": "ham"}, {"role": "train"}, {"limit": 0}, {"roles": {"meta_train": 0.4}}],
)
def test_wrong_arguments(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        IsicSource(root=tmp_path, **options)


def test_the_archive_is_ingested(archive: Archive, tmp_path: Path) -> None:
    source = open_source(
        "isic",
        "all",
        root=str(tmp_path / "isic"),
        base_url=f"{archive.address}/api/v2",
        roles={"meta_train": 0.5, "meta_val": 0.5},
    )
    dataset = ingest(source, tmp_path / "store")
    assert len(dataset) == 8
    assert dataset.frame.groupby("group")["role"].nunique().max() == 1
    assert set(dataset.frame["label"]) == {"Nevus", "Melanoma, NOS"}
