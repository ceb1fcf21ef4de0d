"""The key that exports are signed with: Ed25519, made at first use, readable by its owner only."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sgps.errors import IntegrityError, StoreError
from sgps.settings import Settings

_KEY_FILE = "export-ed25519.pem"


class SigningKey:
    """The key of one home, in ``SGPS_HOME/keys``."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def open(cls, settings: Settings) -> SigningKey:
        """Read the key, or make it where there is none.

        Raises
        ------
        IntegrityError: the file holds no key of this kind.
        StoreError: the folder cannot be read or written.
        """
        path = settings.home_folder / "keys" / _KEY_FILE
        try:
            if not path.exists():
                _make(path)
            key = load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise StoreError(
                f"{path}: {error.strerror or error}", expected="a file that you may read"
            ) from error
        except (ValueError, TypeError) as error:
            raise _foreign(path) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _foreign(path)
        return cls(key)

    @property
    def public_key(self) -> str:
        """The public key, 64 hex digits."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, data: bytes) -> str:
        """Signature of ``data``, 128 hex digits."""
        return self._key.sign(data).hex()


def fingerprint_of(public_key: str) -> str:
    """sha256 of a public key in hex, by which people compare it.

    Raises
    ------
    ValueError: no hex digits.
    """
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()


def is_signed(data: bytes, signature: str, public_key: str) -> bool:
    """Whether ``signature`` is one of ``data`` by the owner of ``public_key``; never raises."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _make(path: Path) -> None:
    """Write a new key; where another process was quicker, its key stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(descriptor)
        try:
            path.hardlink_to(partial)
        except FileExistsError:
            return
    finally:
        partial.unlink(missing_ok=True)


def _foreign(path: Path) -> IntegrityError:
    return IntegrityError(
        f"{path}: holds no Ed25519 key", expected="the key as SGPS made it",
        remedy="restore it, or move it away for a new one",
    )  # fmt: skip
