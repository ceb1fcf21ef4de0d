"""Signed archives: written whole, read as hostile."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from sgps.errors import IntegrityError, StoreError
from sgps.files import whole_file
from sgps.service._signing import SigningKey, fingerprint_of, is_signed

MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
MAX_MEMBERS = 10_000
MAX_BYTES = 2_000_000_000
_MAX_MANIFEST = 10_000_000
_MAX_DIRECTORY = 10_000_000
_END_BYTES, _END_MARK = 22, b"PK\x05\x06"
_MOMENT = (1980, 1, 1, 0, 0, 0)
_BLOCK = 1 << 20
_PACKED_ALREADY = (".png", ".safetensors")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREADABLE = (
    *(zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError),
    *(OverflowError, RuntimeError),
)

Member = bytes | Path


def write_archive(
    path: Path, facts: Mapping[str, Any], members: Mapping[str, Member], key: SigningKey
) -> None:
    """Write a zip file of ``members``, a manifest of ``facts`` and their digests, and a signature.

    The same content and key give the same bytes. Whole or not at all, and for its owner alone, as
    is what is unpacked from it.

    Raises
    ------
    StoreError: a member cannot be read, or the archive not be written.
    """
    with whole_file(path, private=True) as file:
        listed = [_listed(name, members[name]) for name in sorted(members)]
        manifest = {**facts, "public_key": key.public_key, "members": listed}
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode()
        try:
            with zipfile.ZipFile(file, "w", allowZip64=False) as archive:
                _write(archive, MANIFEST, text)
                _write(archive, SIGNATURE, key.sign(text).encode())
                for name in sorted(members):
                    _write(archive, name, members[name])
        except zipfile.LargeZipFile as error:
            raise OSError(errno.EFBIG, "too large") from error


class SignedArchive:
    """An archive whose signature, members and digests were found right; a context manager.

    Raises (at :meth:`open`)
    ------
    IntegrityError: it is no archive of ours, not signed, too large, or a member is missing,
        foreign or altered.
    StoreError: it cannot be read.
    """

    def __init__(self, file: BinaryIO, archive: zipfile.ZipFile, manifest: dict[str, Any]) -> None:
        self._file = file
        self._archive = archive
        self.manifest = manifest
        self.fingerprint = fingerprint_of(str(manifest["public_key"]))
        self._sizes = {member["name"]: int(member["size"]) for member in manifest["members"]}

    @classmethod
    def open(cls, path: Path) -> SignedArchive:
        """Open and check; see the class."""
        try:
            file = path.open("rb")
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
        try:
            _require_modest(file)
            archive = zipfile.ZipFile(file)
            _require_plain(archive)
            opened = cls(file, archive, _signed_manifest(archive))
            opened._require_members()
        except _UNREADABLE as error:
            file.close()
            raise _refused(f"is no whole archive ({type(error).__name__})") from error
        except BaseException:
            file.close()
            raise
        return opened

    @property
    def names(self) -> list[str]:
        """Names of the members."""
        return sorted(self._sizes)

    def read_json(self, name: str) -> Any:
        """One member as JSON. Raises IntegrityError."""
        try:
            return json.loads(b"".join(self._blocks(name)))
        except (KeyError, ValueError, RecursionError) as error:
            raise _refused(f"holds no readable {name}") from error

    def unpack(self, prefix: str, folder: Path) -> None:
        """Write the members below ``prefix`` into ``folder``, which they cannot leave.

        Raises
        ------
        StoreError: the folder cannot hold them.
        """
        try:
            for name in self.names:
                if name.startswith(prefix):
                    target = folder / name.removeprefix(prefix)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("xb") as file:
                        file.writelines(self._blocks(name))
        except OSError as error:
            raise StoreError(f"the archive cannot be unpacked ({error.strerror})") from error

    def close(self) -> None:
        """Close the file."""
        self._archive.close()
        self._file.close()

    def __enter__(self) -> SignedArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_members(self) -> None:
        there = {item.filename for item in self._archive.infolist()} - {MANIFEST, SIGNATURE}
        listed = self.manifest["members"]
        if there != set(self._sizes) or len(listed) != len(there):
            odd = sorted(there ^ set(self._sizes))
            raise _refused(f"does not hold what its manifest lists: {', '.join(odd[:3])}")
        for member in listed:
            digest = hashlib.sha256()
            for block in self._blocks(member["name"]):
                digest.update(block)
            if digest.hexdigest() != member["sha256"]:
                raise _refused(f"holds an altered {member['name']}")

    def _blocks(self, name: str) -> Iterator[bytes]:
        left = self._sizes[name]
        with self._archive.open(name) as member:
            while block := member.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise _refused(f"holds a {name} that is larger than its manifest says")
                yield block


def _listed(name: str, member: Member) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    for block in _read_blocks(member):
        digest.update(block)
        size += len(block)
    return {"name": name, "size": size, "sha256": digest.hexdigest()}


def _write(archive: zipfile.ZipFile, name: str, member: Member) -> None:
    info = zipfile.ZipInfo(name, _MOMENT)
    packed = name.endswith(_PACKED_ALREADY)
    info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    info.create_system = 3
    with archive.open(info, "w") as target:
        for block in _read_blocks(member):
            target.write(block)


def _read_blocks(member: Member) -> Iterator[bytes]:
    if isinstance(member, bytes):
        yield member
        return
    with member.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _require_modest(file: BinaryIO) -> None:
    """Look at the end of the file before its directory is read into memory."""
    size = file.seek(0, os.SEEK_END)
    if not _END_BYTES <= size <= MAX_BYTES:
        raise _refused(f"has {size:,} bytes")
    file.seek(size - _END_BYTES)
    end = file.read(_END_BYTES)
    members = int.from_bytes(end[10:12], "little")
    directory = int.from_bytes(end[12:16], "little")
    if end[:4] != _END_MARK or members > MAX_MEMBERS + 2 or directory > _MAX_DIRECTORY:
        raise _refused("does not end as a zip file of ours does")


def _require_plain(archive: zipfile.ZipFile) -> None:
    names = set()
    total = 0
    for item in archive.infolist():
        path = PurePosixPath(item.filename)
        parts = item.filename.split("/")
        leads_out = path.is_absolute() or any(part in ("", ".", "..") for part in parts)
        odd = "\\" in item.filename or ":" in parts[0] or not item.filename.isprintable()
        is_link = (item.external_attr >> 16) & 0o170000 == 0o120000
        if leads_out or odd or is_link or item.filename in names:
            raise _refused(f"holds a member of the name {item.filename[:80]!r}")
        if item.flag_bits & 1 or item.compress_type not in _METHODS:
            raise _refused("holds an encrypted member, or one of an unknown compression")
        names.add(item.filename)
        total += item.file_size
    if total > MAX_BYTES:
        raise _refused(f"holds {total:,} bytes unpacked")


def _signed_manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    with archive.open(MANIFEST) as member:
        text = member.read(_MAX_MANIFEST)
    with archive.open(SIGNATURE) as member:
        signature = member.read(1_000).decode("ascii", "replace")
    manifest = json.loads(text)
    if not isinstance(manifest, dict):
        raise _refused("has no manifest")
    if not is_signed(text, signature, str(manifest["public_key"])):
        raise _refused("has a manifest that does not match its signature")
    return manifest


def _refused(problem: str) -> IntegrityError:
    return IntegrityError(
        f"the archive {problem}",
        expected="an archive as sgps audit export wrote it",
        remedy="ask for it again",
    )
