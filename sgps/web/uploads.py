"""Images that were dropped and wait to be asked for, under names that the server chose."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sgps.datasets.decoding import (
    DecodedImage,
    ImageLimits,
    Pixels,
    decode_image,
    encode_png,
    read_image,
)
from sgps.datasets.preprocessing import shrink_long_side
from sgps.errors import QueueFullError, StoreError, UnknownNameError
from sgps.service.support import ImageOrigin
from sgps.web.findings import findings_of

MAX_UPLOADS = 5_000
SECONDS_KEPT = 24 * 3600.0
_THUMBNAIL_SIDE = 320
_ID = re.compile(r"[0-9a-f]{32}")
_SUFFIXES = (".png", ".small.png", ".json")


@dataclass(frozen=True)
class Upload:
    """One image as it was kept.

    width, height: of the kept image, in pixels. removed: kinds of metadata that were taken out.
    findings: code, severity and message of each thing worth saying about the image.
    format, file_sha256: of the file as it was sent; "" where it was kept before this was noted.
    """

    id: str
    width: int
    height: int
    format: str
    removed: tuple[str, ...]
    findings: tuple[dict[str, str], ...]
    pixel_sha256: str
    file_sha256: str = ""

    @property
    def file_name(self) -> str:
        """Name of the kept image in the folder of the store."""
        return f"{self.id}.png"

    @property
    def origin(self) -> ImageOrigin | None:
        """The file as it was sent; None where that was not noted."""
        if not self.file_sha256:
            return None
        return ImageOrigin(self.format, self.removed, self.file_sha256)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


class UploadStore:
    """``SGPS_HOME/uploads``: re-encoded images, a small copy of each, and what was found.

    Safe to share between threads and processes.
    """

    def __init__(self, folder: Path, limits: ImageLimits, *, most: int = MAX_UPLOADS) -> None:
        self.folder = folder
        self._limits = limits
        self._most = most

    def add(self, data: bytes) -> Upload:
        """Decode, re-encode and keep the bytes of one image file.

        Raises
        ------
        ImageError: the bytes are no image that is accepted.
        QueueFullError: too many images are kept already.
        StoreError: the folder cannot be written.
        """
        self._require_room()
        image = decode_image(data, name="this file", limits=self._limits)
        height, width = image.pixels.shape[:2]
        upload = Upload(
            id=secrets.token_hex(16),
            width=width,
            height=height,
            format=image.format,
            removed=image.removed,
            findings=findings_of(image),
            pixel_sha256=image.pixel_sha256,
            file_sha256=image.file_sha256,
        )
        small = encode_png(shrink_long_side(image.pixels, _THUMBNAIL_SIDE))
        with self._writing():
            self._write(upload.file_name, encode_png(image.pixels))
            self._write(upload.id + ".small.png", small)
            self._write(upload.id + ".json", json.dumps(upload.to_dict()).encode())
        return upload

    def get(self, upload_id: str) -> Upload:
        """What is known of an image. Raises UnknownNameError."""
        with self._reading():
            text = self._path(upload_id, ".json").read_text(encoding="utf-8")
        fields = json.loads(text)
        return Upload(
            **{
                **fields,
                "removed": tuple(fields["removed"]),
                "findings": tuple(fields["findings"]),
            }
        )

    def small(self, upload_id: str) -> bytes:
        """PNG bytes of the small copy. Raises UnknownNameError."""
        with self._reading():
            return self._path(upload_id, ".small.png").read_bytes()

    def decode(self, upload_id: str) -> DecodedImage:
        """The kept image. Raises UnknownNameError."""
        self.get(upload_id)
        return read_image(self._path(upload_id, ".png"), limits=self._limits)

    def small_pixels(self, upload_ids: Sequence[str]) -> list[Pixels]:
        """Pixels (H, W, 3) of the small copies. Raises UnknownNameError."""
        return [decode_image(self.small(name), name=name).pixels for name in upload_ids]

    def delete(self, upload_id: str) -> None:
        """Forget an image. Raises UnknownNameError, StoreError."""
        self.get(upload_id)
        with self._writing():
            for suffix in reversed(_SUFFIXES):
                self._path(upload_id, suffix).unlink(missing_ok=True)

    def sweep(self, seconds: float = SECONDS_KEPT) -> int:
        """Delete every file that is older than ``seconds``; how many there were."""
        oldest, swept = time.time() - seconds, 0
        if not self.folder.is_dir():
            return 0
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):
                if path.is_file() and path.stat().st_mtime < oldest:
                    path.unlink()
                    swept += 1
        return swept

    def _require_room(self) -> None:
        kept = sum(path.suffix == ".json" for path in self.folder.glob("*.json"))
        if kept >= self._most:
            raise QueueFullError(
                f"{kept:,} images are kept already",
                expected=f"fewer than {self._most:,}",
                remedy="remove images that are not needed, or try again tomorrow",
            )

    def _path(self, upload_id: str, suffix: str) -> Path:
        if not _ID.fullmatch(upload_id):
            raise _unknown()
        return self.folder / f"{upload_id}{suffix}"

    def _write(self, name: str, data: bytes) -> None:
        descriptor, scratch = tempfile.mkstemp(dir=self.folder, prefix=".")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(scratch).replace(self.folder / name)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            yield
        except OSError as error:
            raise StoreError(
                f"the images cannot be kept: {error.strerror}", remedy="tell the operator"
            ) from error

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unknown() from error


def _unknown() -> UnknownNameError:
    return UnknownNameError(
        "there is no such image (images are kept for a day)", remedy="drop the image again"
    )
