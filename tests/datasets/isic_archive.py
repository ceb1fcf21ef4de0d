"""A small ISIC archive on this machine, and sources that read it."""

import json
import re
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from sgps.datasets.decoding import encode_png
from sgps.datasets.sources._download import Downloader
from sgps.datasets.sources.isic import IsicSource

PAGE = 3


class Archive:
    """Eight images on three pages, with the faults of a real network on demand."""

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


def source_of(archive: Archive, root: Path, downloader: Downloader, **options: Any) -> IsicSource:
    return IsicSource(
        root=root, base_url=f"{archive.address}/api/v2", downloader=downloader, **options
    )


def read_all(source: IsicSource) -> dict[str, bytes]:
    return {record.name: record.read() for record in source.records()}
