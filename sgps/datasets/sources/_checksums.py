"""Digests of downloaded files: those given by others, and those recorded here."""

from __future__ import annotations

import json
import re
from pathlib import Path

from sgps.errors import InputError

_CHECKSUM_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](\S+)")


def read_recorded(path: Path) -> dict[str, str]:
    """Digests by file; a last line that a crash cut off is passed over."""
    recorded: dict[str, str] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                recorded[str(entry["file"])] = str(entry["sha256"])
            except (ValueError, KeyError, TypeError):
                continue
    return recorded


def read_checksums(path: Path) -> dict[str, str]:
    """SHA-256 by file name from a file in the form of sha256sum. Raises InputError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", expected="checksums") from error
    digests: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _CHECKSUM_LINE.fullmatch(line.strip())
        if match is None and line.strip():
            raise InputError(
                f"{path}: line {number} is not a checksum", expected="64 hex digits, then the file"
            )
        if match is not None:
            digests[Path(match[2]).name] = match[1].lower()
    return digests
