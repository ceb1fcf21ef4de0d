"""What a generator's release says of itself, so that each version can carry it."""

from __future__ import annotations

from pathlib import Path

from sgps.errors import UnknownNameError
from sgps.synthesizer.generator_folder import find_generator

DOCUMENTS = ("README.md", "benchmark.md", "validation.html", "sbom.cdx.json", "promotion.json")
"""Model card, benchmark, validation report of its data, bill of materials, how it was chosen."""

MAX_BYTES = 5_000_000


def read_documents(generator: str) -> dict[str, bytes]:
    """The documents beside a generator, by file name; those that are there and not too large.

    generator: name or path. Nothing where the generator itself is not there any more.
    """
    try:
        folder = find_generator(generator)
    except UnknownNameError:
        return {}
    return {path.name: path.read_bytes() for path in _found(folder)}


def _found(folder: Path) -> list[Path]:
    paths = [folder / name for name in DOCUMENTS]
    return [path for path in paths if path.is_file() and path.stat().st_size <= MAX_BYTES]
