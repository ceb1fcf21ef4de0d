"""Accepted requests on disk, until they are done: their fields, and their images re-encoded.

A request is a folder ``SGPS_HOME/spool/<request_id>`` that appears whole or not at all. Names of
files are chosen here; what the requester called them is a field of ``request.json``.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sgps.datasets.decoding import DecodedImage, decode_image, encode_png
from sgps.errors import ImageError, IntegrityError, StoreError
from sgps.service.identity import RequesterIdentity
from sgps.service.requests import SynthesisRequest
from sgps.service.support import OWN_COPIES, DecodedSupport, SupportCheck

SPOOL_FORMAT = "sgps-spool-1"
_MANIFEST = "request.json"
_UNFINISHED = ".new-"
_WRITERS = 4


@dataclass(frozen=True, eq=False)
class SpooledRequest:
    """Everything that a synthesis needs of a request.

    Attributes
    ----------
    requested: when it was asked for (UTC, ISO 8601).
    key: the caller's idempotency key; None where the content is the key.
    content_sha256: digest of the content, see :func:`sgps.service._content.content_digest`.
    generator: name or path of the generator, as the settings had it.
    generator_sha256: digest of that generator's tensors.
    known_classes_sha256: digest of the classes that it knew; None where it knew none, "" where that
        was not kept.
    seconds: seconds of each step until it was spooled.
    files: per class, the images as PNG files; none until they were read back.
    """

    request_id: str
    requested: str
    request: SynthesisRequest
    support: DecodedSupport
    identity: RequesterIdentity
    key: str | None
    content_sha256: str
    generator: str
    generator_sha256: str
    seconds: dict[str, float]
    files: tuple[tuple[bytes, ...], ...] = ()
    known_classes_sha256: str | None = ""


class Spool:
    """The folder of accepted requests of one home."""

    def __init__(self, home: Path) -> None:
        self.path = home / "spool"

    @property
    def owner(self) -> str:
        """Which machine and home this spool belongs to."""
        return f"{socket.gethostname()}:{self.path.parent}"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """While a folder is written whose request nobody knows yet: no sweep takes it away."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextmanager
    def sweeping(self) -> Iterator[bool]:
        """Whether nobody is writing; nobody begins to meanwhile."""
        try:
            with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield True
        except BlockingIOError:
            yield False

    def write(self, spooled: SpooledRequest) -> None:
        """Write a request whole, durably.

        Raises
        ------
        StoreError: the folder cannot be written; then nothing is left.
        """
        unfinished = self.path / f"{_UNFINISHED}{spooled.request_id}"
        with self._store_errors():
            try:
                unfinished.mkdir(mode=0o700)
                with ThreadPoolExecutor(_WRITERS) as pool:
                    list(pool.map(_write_file, *zip(*_files(spooled, unfinished), strict=True)))
                _synchronise(unfinished)
                unfinished.rename(self.path / spooled.request_id)
                _synchronise(self.path)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise

    def adopt(self, request_id: str, other: str) -> None:
        """Let the folder of ``request_id`` be that of the request ``other``, if it has none."""
        with self._store_errors():
            try:
                (self.path / request_id).rename(self.path / other)
            except FileExistsError:
                self.remove(request_id)
            except OSError:
                if not self.holds(other):
                    raise
                self.remove(request_id)

    def read(self, request_id: str) -> SpooledRequest:
        """Read a request back.

        Raises
        ------
        IntegrityError: a file is missing or altered.
        StoreError: the folder cannot be read.
        """
        folder = self.path / request_id
        try:
            manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            return _spooled(manifest, folder)
        except (FileNotFoundError, ImageError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"the images of request {request_id} are missing or altered",
                expected="the files as they were accepted",
                remedy="send the request again",
            ) from error
        except OSError as error:
            raise StoreError(f"{folder}: cannot be read ({error.strerror})") from error

    def holds(self, request_id: str) -> bool:
        """Whether the images of a request are here."""
        return (self.path / request_id / _MANIFEST).is_file()

    def remove(self, request_id: str) -> None:
        """Remove what belongs to a request, if anything does."""
        folder, removed = self.path / request_id, self.path / f"{_UNFINISHED}{request_id}"
        with suppress(OSError):
            folder.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)

    def request_ids(self) -> list[str]:
        """The requests that have a folder here, finished or not."""
        try:
            names = [entry.name for entry in self.path.iterdir() if entry.is_dir()]
        except FileNotFoundError:
            return []
        return sorted({name.removeprefix(_UNFINISHED) for name in names})

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        with self._store_errors():
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, kind)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self.path}: {error.strerror or error}",
                expected="a folder that can be written",
                remedy="free some space, change its permissions, or set SGPS_HOME",
            ) from error


def _files(spooled: SpooledRequest, folder: Path) -> list[tuple[Path, bytes | DecodedImage]]:
    text = json.dumps(_manifest(spooled), ensure_ascii=False)
    files: list[tuple[Path, bytes | DecodedImage]] = [(folder / _MANIFEST, text.encode())]
    for number, images in enumerate(spooled.support.images):
        for place, (_, image) in enumerate(images):
            files.append((folder / _file_name(number, place), image))
    return files


def _file_name(number: int, place: int) -> str:
    return f"{number}-{place}.png"


def _write_file(path: Path, content: bytes | DecodedImage) -> None:
    data = content if isinstance(content, bytes) else encode_png(content.pixels)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _synchronise(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest(spooled: SpooledRequest) -> dict[str, Any]:
    support = spooled.support
    return {
        "format": SPOOL_FORMAT,
        "request_id": spooled.request_id,
        "requested": spooled.requested,
        "request": spooled.request.to_record(),
        "identity": spooled.identity.to_dict(),
        "key": spooled.key,
        "content_sha256": spooled.content_sha256,
        "generator": spooled.generator,
        "generator_sha256": spooled.generator_sha256,
        "known_classes_sha256": spooled.known_classes_sha256,
        "seconds": spooled.seconds,
        "warnings": list(support.warnings),
        "checks": [check.to_dict() for check in support.checks],
        "images": [[_facts(name, image) for name, image in images] for images in support.images],
        "persons": [list(persons) for persons in support.persons],
    }


def _facts(given: str, image: DecodedImage) -> dict[str, Any]:
    return {
        "given": given,
        "format": image.format,
        "removed": list(image.removed),
        "file_sha256": image.file_sha256,
        "pixel_sha256": image.pixel_sha256,
    }


def _spooled(manifest: dict[str, Any], folder: Path) -> SpooledRequest:
    if manifest["format"] != SPOOL_FORMAT:
        raise ValueError(manifest["format"])
    files = tuple(
        tuple((folder / _file_name(number, place)).read_bytes() for place in range(len(row)))
        for number, row in enumerate(manifest["images"])
    )
    with ThreadPoolExecutor(_WRITERS) as pool:
        images = tuple(
            tuple(zip([facts["given"] for facts in row], pool.map(_image, data, row), strict=True))
            for data, row in zip(files, manifest["images"], strict=True)
        )
    support = DecodedSupport(
        images,
        tuple(map(tuple, manifest["persons"])),
        tuple(manifest["warnings"]),
        tuple(SupportCheck(**check) for check in manifest["checks"]),
    )
    fields = ("request_id", "requested", "key", "content_sha256", "generator", "generator_sha256")
    return SpooledRequest(
        **{name: manifest[name] for name in fields},
        request=SynthesisRequest.parse(manifest["request"]),
        support=support,
        identity=RequesterIdentity(**manifest["identity"]),
        seconds=dict(manifest["seconds"]),
        files=files,
        known_classes_sha256=manifest.get("known_classes_sha256", ""),
    )


def _image(data: bytes, facts: dict[str, Any]) -> DecodedImage:
    image = decode_image(data, name=facts["given"], limits=OWN_COPIES)
    if image.pixel_sha256 != facts["pixel_sha256"]:
        raise ValueError(facts["given"])
    return replace(
        image,
        format=facts["format"],
        removed=tuple(facts["removed"]),
        file_sha256=facts["file_sha256"],
    )
