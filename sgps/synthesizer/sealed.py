"""Tensors and their description on disk: safetensors + JSON, sealed by digests.

``<stem>.safetensors`` holds the tensors, ``<stem>.json`` the description with the digest of the
tensors and a seal over itself, so that neither can be altered, swapped or cut unnoticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from sgps.errors import IntegrityError, StoreError, UnknownNameError
from sgps.files import write_whole


@dataclass(frozen=True)
class SealedContent:
    """What a sealed pair of files holds."""

    tensors: dict[str, Tensor]
    description: dict[str, Any]


class DigestStart:
    """The digest of tensors as far as they are the same each time: they are hashed once.

    tensors: that come first by name and do not change from then on.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._names = frozenset(tensors)
        self._sha256 = _hashed(hashlib.sha256(), tensors)

    def go_on(self, tensors: Mapping[str, Tensor]) -> str | None:
        """The digest of ``tensors``, of which those known are not looked at.

        None where they are not all there, or others come between them by name.
        """
        further = {name: tensors[name] for name in tensors.keys() - self._names}
        if len(tensors) - len(further) < len(self._names):
            return None
        if self._names and further and min(further) < max(self._names):
            return None
        return _hashed(self._sha256.copy(), further).hexdigest()


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, independent of the order of insertion."""
    return _hashed(hashlib.sha256(), tensors).hexdigest()


def _hashed(digest: hashlib._Hash, tensors: Mapping[str, Tensor]) -> hashlib._Hash:
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensors[name].shape)}:".encode())
        digest.update(tensor.view(torch.uint8).numpy().data)
    return digest


def write_sealed(
    folder: Path,
    stem: str,
    tensors: Mapping[str, Tensor],
    description: Mapping[str, Any],
    *,
    file_format: str,
    indent: int | None = 2,
) -> str:
    """Write both files, each atomically, the description last; return the tensors' digest.

    ``indent``: of the description, for people; None takes the fewest bytes.

    Raises
    ------
    StoreError: the folder cannot be written.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    tensors_sha256 = digest_tensors(contiguous)
    sealed = seal_description(description, tensors_sha256, file_format=file_format)
    separators = (",", ":") if indent is None else None
    text = json.dumps(
        sealed, indent=indent, separators=separators, sort_keys=True, ensure_ascii=False
    )
    write_whole(folder / f"{stem}.safetensors", save_tensors(contiguous))
    write_whole(folder / f"{stem}.json", f"{text}\n")
    return tensors_sha256


def seal_description(
    description: Mapping[str, Any], tensors_sha256: str, *, file_format: str
) -> dict[str, Any]:
    """The description as it is written: with format, digest of the tensors and ``seal``."""
    sealed = {**description, "format": file_format, "tensors_sha256": tensors_sha256}
    return {**sealed, "seal": _seal(sealed)}


def read_sealed(
    folder: Path, stem: str, *, file_format: str, or_else: Collection[str] = ()
) -> SealedContent:
    """Read both files and check every digest.

    ``or_else``: earlier formats that are read as well.

    Raises
    ------
    UnknownNameError: one of the files does not exist.
    IntegrityError: a file is foreign, cut, corrupted or altered.
    """
    description = _read_description(folder / f"{stem}.json", file_format, or_else)
    path = folder / f"{stem}.safetensors"
    try:
        tensors = load_tensors(_read(path))
    except SafetensorError as error:
        raise _altered(path, f"is no readable safetensors file ({error})") from error
    if digest_tensors(tensors) != description["tensors_sha256"]:
        raise _altered(path, "does not match the digest in its description")
    return SealedContent(tensors, description)


def _read_description(path: Path, file_format: str, or_else: Collection[str]) -> dict[str, Any]:
    try:
        description = json.loads(_read(path))
    except ValueError as error:
        raise _altered(path, "is no readable JSON") from error
    read = {file_format, *or_else}
    if not isinstance(description, dict) or description.get("format") not in read:
        raise _altered(path, f"is not of the format {file_format!r}")
    seal = description.pop("seal", None)
    if seal != _seal(description):
        raise _altered(path, "does not match its seal")
    return description


def _seal(description: Mapping[str, Any]) -> str:
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _altered(path: Path, problem: str) -> IntegrityError:
    return IntegrityError(
        f"{path.name} {problem}",
        expected="the file as SGPS wrote it",
        remedy=f"restore {path} from its source",
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UnknownNameError(
            f"there is no file {path}",
            expected="a folder that SGPS wrote, whole",
            remedy="correct the path or restore the file",
        ) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
