"""Images in, whatever their bytes."""

from __future__ import annotations

import io
import os
import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator

import pytest
from PIL import Image
from sending import drop, picture, services
from starlette.testclient import TestClient

from sgps.settings import Settings


def _bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that says it has side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000_000), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def test_an_image_is_kept_re_encoded_under_a_name_of_the_server(
    client: TestClient, settings: Settings
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    sent = picture(1, side=200, format="JPEG", exif=exif)
    kept = client.post("/api/images", content=sent, headers={"Content-Type": "text/html"}).json()
    assert re.fullmatch("[0-9a-f]{32}", kept["id"])
    assert (kept["width"], kept["height"]) == (200, 200)
    assert kept["removed"] == ["exif"]
    assert "metadata_removed" in {finding["code"] for finding in kept["findings"]}
    stored = (settings.home_folder / "uploads" / f"{kept['id']}.png").read_bytes()
    assert stored.startswith(b"\x89PNG")
    assert b"A camera" not in stored
    shown = client.get(f"/api/images/{kept['id']}")
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["cache-control"] == "no-store"
    assert Image.open(io.BytesIO(shown.content)).size == (200, 200)


def test_a_large_image_is_shown_small(client: TestClient) -> None:
    kept = client.post("/api/images", content=picture(1, side=900)).json()
    shown = client.get(f"/api/images/{kept['id']}")
    assert Image.open(io.BytesIO(shown.content)).size == (320, 320)


def test_a_dark_image_is_called_dark(client: TestClient) -> None:
    file = io.BytesIO()
    Image.new("RGB", (200, 200), (3, 3, 3)).save(file, "PNG")
    kept = client.post("/api/images", content=file.getvalue()).json()
    assert "too_dark" in {finding["code"] for finding in kept["findings"]}


def test_repeats_are_found(client: TestClient) -> None:
    ids = [drop(client, 1), drop(client, 2), drop(client, 1)]
    found = client.post("/api/images/compare", json={"images": ids}).json()
    assert found == {"repeats": [[ids[0], ids[2]]]}


def test_a_forgotten_image_is_gone(client: TestClient, settings: Settings) -> None:
    image = drop(client, 1)
    assert client.delete(f"/api/images/{image}").status_code == 204
    assert client.get(f"/api/images/{image}").status_code == 404
    assert client.delete(f"/api/images/{image}").status_code == 404
    assert list((settings.home_folder / "uploads").iterdir()) == []


def test_old_images_are_swept(client: TestClient, settings: Settings) -> None:
    old, fresh = drop(client, 1), drop(client, 2)
    day_before = time.time() - 25 * 3600
    for path in (settings.home_folder / "uploads").glob(f"{old}*"):
        os.utime(path, (day_before, day_before))
    assert services(client).uploads.sweep() == 3
    assert client.get(f"/api/images/{old}").status_code == 404
    assert client.get(f"/api/images/{fresh}").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        picture(1)[:-30],
        picture(1, format="GIF"),
        _bomb(60_000),
        _bomb(5_000),
        picture(1, side=8),
    ],
    ids=["empty", "text", "svg", "postscript", "cut off", "gif", "bomb", "half a bomb", "tiny"],
)
def test_what_is_no_image_is_refused(client: TestClient, settings: Settings, sent: bytes) -> None:
    answer = client.post("/api/images", content=sent)
    assert answer.status_code == 422
    assert answer.json()["error"]["what"]
    uploads = settings.home_folder / "uploads"
    assert not uploads.exists() or list(uploads.iterdir()) == []


def test_too_many_bytes_are_refused_before_they_are_read(
    open_client: Callable[..., TestClient],
) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(50):
            sent += 1
            yield bytes(1_000)

    client = open_client(max_image_bytes=5_000)
    announced = client.post("/api/images", content=bytes(5_001))
    assert announced.status_code == 413
    streamed = client.post("/api/images", content=pieces())
    assert streamed.status_code == 413
    assert streamed.json()["error"]["expected"] == "at most 5,000 bytes"


def test_a_long_request_is_refused(client: TestClient) -> None:
    answer = client.post("/api/requests", content=b" " * 1_000_001)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "sent",
    [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}', b'{"a": ' + b"9" * 5_000 + b"}"],
)
def test_what_is_no_request_is_refused(client: TestClient, sent: bytes) -> None:
    answer = client.post("/api/requests", content=sent)
    assert answer.status_code == 422
    assert answer.json()["error"]["expected"]


@pytest.mark.parametrize("name", ["../../ledger", "..%2F..%2Fledger.db", "x" * 32, "0" * 32, "%00"])
def test_no_other_file_can_be_reached(client: TestClient, name: str) -> None:
    assert client.get(f"/api/images/{name}").status_code == 404
    assert client.get(f"/static/{name}").status_code == 404


def test_too_many_images_are_turned_away(client: TestClient) -> None:
    services(client).uploads._most = 1
    assert client.post("/api/images", content=picture(1)).status_code == 201
    refused = client.post("/api/images", content=picture(2))
    assert refused.status_code == 429
    assert "retry-after" in refused.headers
