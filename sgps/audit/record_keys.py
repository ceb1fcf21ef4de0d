"""A secret key a record: what makes the digests in the ledger mean something, and can be erased.

The ledger keeps no digest of an image, a text or weights as it is: whoever has the image could
tell from it, for ever, that the image was used. It keeps HMACs under a key of the record. Once the
key is erased, they are random numbers, and the chain still verifies.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from sgps.audit._chain import canonical_json
from sgps.audit._entries import NAME_LENGTH, require_text
from sgps.audit._requests import find_one, require_content
from sgps.audit._tables import RECORD_KEYS, REQUESTS

KEY_BYTES = 32
SEALED_SECTIONS = ("inputs", "outputs")
_DIGEST, _SEALED = "sha256", "hmac"

Transaction = Callable[..., AbstractContextManager[Connection]]


class RecordKeys:
    """The keys, in the ledger's database; made by :attr:`sgps.audit.Ledger.record_keys`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def create(self, record_id: str) -> bytes:
        """The key (32 bytes) of a record, which is made where there is none.

        Raises
        ------
        InputError: the id has not 1 to 64 characters.
        ConflictError: it is that of a request whose content was erased.
        StoreError: the database cannot be written.
        """
        require_text("id of a record", record_id, NAME_LENGTH)
        with self._transaction(writes=True) as connection:
            row = find_one(connection, REQUESTS.c.request_id == record_id)
            if row is not None:
                require_content(row)
            key = _read(connection, record_id) or secrets.token_bytes(KEY_BYTES)
            keep_key(connection, record_id, key)
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

        SQLite overwrites it in its files. PostgreSQL keeps it until a VACUUM, and in its log and
        backups as long as the operator says.

        Raises
        ------
        StoreError: the database cannot be written.
        """
        with self._transaction(writes=True, erases=True) as connection:
            return erase_key(connection, record_id)


def keep_key(connection: Connection, record_id: str, key: bytes) -> None:
    """Let ``key`` be that of the record, in the transaction of ``connection``."""
    if _read(connection, record_id) == key:
        return
    erase_key(connection, record_id)
    connection.execute(insert(RECORD_KEYS).values(record_id=record_id, key=key.hex()))


def erase_key(connection: Connection, record_id: str) -> bool:
    """Erase the key in the transaction of ``connection``; False where there is none."""
    erased = connection.execute(delete(RECORD_KEYS).where(RECORD_KEYS.c.record_id == record_id))
    return bool(erased.rowcount)


def seal_digest(key: bytes, digest: str) -> str:
    """HMAC-SHA256 (64 hex digits) of a digest in hex."""
    return hmac.new(key, digest.encode(), hashlib.sha256).hexdigest()


def seal_record(audit: Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """The audit record as the ledger keeps it.

    Under ``inputs`` and ``outputs`` every ``NAME_sha256`` becomes ``NAME_hmac``; what the files of
    images were called, and where anything is stored, is left out. Elsewhere a sentence that names
    the file of an image says which image it is instead.
    """
    words = _words_for_files(audit)
    sealed = {name: _without_files(value, words) for name, value in audit.items()}
    for section in SEALED_SECTIONS:
        if section in audit:
            sealed[section] = _seal(audit[section], key)
    return {**sealed, "sealed": True}


def _words_for_files(audit: Mapping[str, Any]) -> dict[re.Pattern[str], str]:
    """Patterns of the names of files, the longest first, and what stands for each."""
    inputs = audit.get("inputs")
    classes = inputs.get("classes", []) if isinstance(inputs, Mapping) else []
    words = {
        str(image["name"]): f"image {number}"
        for item in classes
        for number, image in enumerate(item.get("images", []), start=1)
        if image.get("name")
    }
    return {
        re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)"): words[name]
        for name in sorted(words, key=lambda name: (-len(name), name))
    }


def _without_files(value: Any, words: Mapping[re.Pattern[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_files(item, words) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_files(item, words) for item in value]
    if isinstance(value, str) and (" " in value or "." in value):
        for pattern, word in words.items():
            value = pattern.sub(word, value)
    return value


def _seal(value: Any, key: bytes, *, of_image: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {
            _sealed_name(name): (
                _seal_digests(item, key)
                if _is_digest(name)
                else _seal(item, key, of_image=of_image or name == "images")
            )
            for name, item in value.items()
            if not _names_a_file(name, of_image)
        }
    if isinstance(value, list | tuple):
        return [_seal(item, key, of_image=of_image) for item in value]
    return value


def _seal_digests(value: Any, key: bytes) -> Any:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {name: _seal_digests(item, key) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_seal_digests(item, key) for item in value]
    return seal_digest(key, value if isinstance(value, str) else canonical_json(value))


def _names_a_file(name: str, of_image: bool) -> bool:
    return name == "artifact" or (of_image and name == "name")


def _is_digest(name: str) -> bool:
    return name == _DIGEST or name.endswith(f"_{_DIGEST}")


def _sealed_name(name: str) -> str:
    return name.removesuffix(_DIGEST) + _SEALED if _is_digest(name) else name


def _read(connection: Connection, record_id: str) -> bytes | None:
    found = connection.execute(
        select(RECORD_KEYS.c.key).where(RECORD_KEYS.c.record_id == record_id)
    ).scalar()
    return bytes.fromhex(found) if found is not None else None
