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
from sgps.service.support import OWN_COPIES, ImageOrigin
from sgps.web.findings import findings_of

MAX_UPLOADS = 5_000
MAX_BYTES = 2_000_000_000
SECONDS_KEPT = 24 * 3600.0
_SECONDS_TO_WRITE = 600.0
_THUMBNAIL_SIDE = 320
_ID = re.compile(r"[0-9a-f]{32}")
_FACTS = ".json"
_SUFFIXES = (_FACTS, ".png", ".small.png")


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

    What was found is written before an image and removed after it, so that no image lies there
    unknown, whatever ends a process. Safe to share between threads and processes.

    Parameters
    ----------
    most, most_bytes: how many images are kept, and how many bytes in all.
    """

    def __init__(
        self,
        folder: Path,
        limits: ImageLimits,
        *,
        most: int = MAX_UPLOADS,
        most_bytes: int = MAX_BYTES,
    ) -> None:
        self.folder = folder
        self._limits = limits
        self._most = most
        self._most_bytes = most_bytes

    def add(self, data: bytes) -> Upload:
        """Decode, re-encode and keep the bytes of one image file.

        Raises
        ------
        ImageError: the bytes are no image that is accepted.
        QueueFullError: too many images, or too many bytes, are kept already.
        StoreError: the folder cannot be written; then nothing of the image is kept.
        """
        kept_bytes = self._require_room()
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
        contents = (
            json.dumps(upload.to_dict()).encode(),
            encode_png(image.pixels),
            encode_png(shrink_long_side(image.pixels, _THUMBNAIL_SIDE)),
        )
        self._require_bytes(kept_bytes + sum(map(len, contents)))
        with self._writing():
            try:
                for suffix, content in zip(_SUFFIXES, contents, strict=True):
                    self._write(upload.id + suffix, content)
            except BaseException:
                self._remove(upload.id)
                raise
        return upload

    def get(self, upload_id: str) -> Upload:
        """What is known of an image. Raises UnknownNameError."""
        with self._reading():
            text = self._path(upload_id, _FACTS).read_text(encoding="utf-8")
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
        return read_image(self._path(upload_id, ".png"), limits=OWN_COPIES)

    def small_pixels(self, upload_ids: Sequence[str]) -> list[Pixels]:
        """Pixels (H, W, 3) of the small copies. Raises UnknownNameError."""
        return [decode_image(self.small(name), name=name).pixels for name in upload_ids]

    def delete(self, upload_id: str) -> None:
        """Forget an image. Raises UnknownNameError, StoreError."""
        self.get(upload_id)
        with self._writing():
            self._remove(upload_id)

    def sweep(self, seconds: float = SECONDS_KEPT) -> int:
        """Delete every file that is older than ``seconds``; how many there were.

        Files that belong to no image, left by a process that was ended, go after ten minutes.
        """
        now, swept = time.time(), 0
        files = list(self._files())
        known = {entry.name.removesuffix(_FACTS) for entry, _ in files if _is_facts(entry.name)}
        for entry, facts in sorted(files, key=lambda found: _is_facts(found[0].name)):
            kept = entry.name.partition(".")[0] in known
            oldest = now - (seconds if kept else min(seconds, _SECONDS_TO_WRITE))
            path = Path(entry.path)
            if facts.st_mtime >= oldest or _describes_what_is_there(path):
                continue
            with contextlib.suppress(OSError):
                path.unlink()
                swept += 1
        return swept

    def _require_room(self) -> int:
        """The bytes that are kept, where there is room for another image."""
        count = size = 0
        for entry, facts in self._files():
            count += _is_facts(entry.name)
            size += facts.st_size
        if count >= self._most:
            raise QueueFullError(
                f"{count:,} images are kept already",
                expected=f"fewer than {self._most:,}",
                remedy="remove images that are not needed, or try again tomorrow",
            )
        self._require_bytes(size + 1)
        return size

    def _require_bytes(self, size: int) -> None:
        if size > self._most_bytes:
            raise QueueFullError(
                "there is no room for another image",
                expected=f"at most {self._most_bytes / 1e6:,.0f} MB of images that wait to be used",
                remedy="remove images that are not needed, or try again tomorrow; the operator can"
                " set SGPS_MAX_UPLOAD_STORE_BYTES",
            )

    def _files(self) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
        """Every regular file of the folder; those that go away meanwhile are left out."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_file(follow_symlinks=False):
                        yield entry, entry.stat(follow_symlinks=False)

    def _remove(self, upload_id: str) -> None:
        for suffix in reversed(_SUFFIXES):
            self._path(upload_id, suffix).unlink(missing_ok=True)

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


def _is_facts(name: str) -> bool:
    return name.endswith(_FACTS)


def _describes_what_is_there(path: Path) -> bool:
    """Whether ``path`` holds the facts of an image that is there."""
    return _is_facts(path.name) and path.with_suffix(".png").exists()


def _unknown() -> UnknownNameError:
    return UnknownNameError(
        "there is no such image (images are kept for a day)", remedy="drop the image again"
    )
