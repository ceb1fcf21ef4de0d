"""A secret key a record: what makes the digests in the ledger mean something, and can be erased.

The ledger keeps no digest of an image, a text or weights as it is: whoever has the image could
tell from it, for ever, that the image was used. It keeps HMACs under a key of the record. Once the
key is erased, they are random numbers, and the chain still verifies.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from sgps.audit._tables import RECORD_KEYS

KEY_BYTES = 32
SEALED_SECTIONS = ("inputs", "outputs")
_DIGEST, _SEALED = "_sha256", "_hmac"
_NAMES_OF_IMAGES = ("name", "artifact")

Transaction = Callable[..., AbstractContextManager[Connection]]


class RecordKeys:
    """The keys, in the ledger's database; made by :attr:`sgps.audit.Ledger.record_keys`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def create(self, record_id: str) -> bytes:
        """The key (32 bytes) of a record, which is made where there is none.

        Raises
        ------
        StoreError: the database cannot be written.
        """
        with self._transaction(writes=True) as connection:
            found = _read(connection, record_id)
            if found is not None:
                return found
            key = secrets.token_bytes(KEY_BYTES)
            connection.execute(insert(RECORD_KEYS).values(record_id=record_id, key=key.hex()))
        return key

    def get(self, record_id: str) -> bytes | None:
        """The key of a record; None where it was never made or is erased.

        Raises
        ------
        StoreError: the database cannot be read.
        """
        with self._transaction() as connection:
            return _read(connection, record_id)

    def erase(self, record_id: str) -> bool:
        """Erase the key for good; False where there is none.

        Raises
        ------
        StoreError: the database cannot be written.
        """
        with self._transaction(writes=True) as connection:
            erased = connection.execute(
                delete(RECORD_KEYS).where(RECORD_KEYS.c.record_id == record_id)
            )
            return bool(erased.rowcount)


def seal_digest(key: bytes, digest: str) -> str:
    """HMAC-SHA256 (64 hex digits) of a digest in hex."""
    return hmac.new(key, digest.encode(), hashlib.sha256).hexdigest()


def seal_record(audit: Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """The audit record as the ledger keeps it.

    Under ``inputs`` and ``outputs`` every ``NAME_sha256`` becomes ``NAME_hmac``; what the files of
    images were called, and where they are stored, is left out.
    """
    sealed = {name: value for name, value in audit.items() if name not in SEALED_SECTIONS}
    for section in SEALED_SECTIONS:
        sealed[section] = _seal(audit[section], key)
    return {**sealed, "sealed": True}


def _seal(value: Any, key: bytes) -> Any:
    if isinstance(value, Mapping):
        return {
            **{name: _seal(item, key) for name, item in value.items() if not _is_digest(name)},
            **{
                name.removesuffix(_DIGEST) + _SEALED: item and seal_digest(key, str(item))
                for name, item in value.items()
                if _is_digest(name)
            },
            **({"images": _seal_images(value["images"], key)} if "images" in value else {}),
        }
    if isinstance(value, list | tuple):
        return [_seal(item, key) for item in value]
    return value


def _seal_images(images: list[Mapping[str, Any]], key: bytes) -> list[dict[str, Any]]:
    return [
        _seal({name: item for name, item in image.items() if name not in _NAMES_OF_IMAGES}, key)
        for image in images
    ]


def _is_digest(name: str) -> bool:
    return name.endswith(_DIGEST)


def _read(connection: Connection, record_id: str) -> bytes | None:
    found = connection.execute(
        select(RECORD_KEYS.c.key).where(RECORD_KEYS.c.record_id == record_id)
    ).scalar()
    return bytes.fromhex(found) if found is not None else None
