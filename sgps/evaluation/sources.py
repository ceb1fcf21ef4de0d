"""Digests of the code behind predictions: one on file is used only by the code that made it.

The methods that take gradient steps have none in their details, since their predictions take hours:
whoever changes what they answer changes their details too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

_ENCODING = ("evaluation/features.py", "evaluation/text_bank.py", "encoders")

SYNTHESIS_SOURCES = (*_ENCODING, "evaluation/banked_synthesis.py", "synthesizer")
"""What decides the predictions of the synthesizer, whole or without a part."""

BASELINE_SOURCES = (
    *_ENCODING,
    "evaluation/baselines",
    "synthesizer/tapped_network.py",
    "synthesizer/centre_pooling.py",
)
"""What decides the predictions of the baselines that are solved in closed form."""


@cache
def source_digest(*paths: str) -> str:
    """Return the SHA-256 of modules of the package ``sgps``, by path; a folder stands for its own.

    Raises
    ------
    FileNotFoundError: there is no such module.
    """
    digest = hashlib.sha256()
    for name, content in sorted(item for path in paths for item in _modules(path)):
        digest.update(f"{name}:{len(content)}\n".encode() + content)
    return digest.hexdigest()


def _modules(path: str) -> Iterator[tuple[str, bytes]]:
    found = _package() / path
    if found.is_dir():
        for item in found.iterdir():
            if item.name.endswith(".py"):
                yield f"{path}/{item.name}", item.read_bytes()
    else:
        yield path, found.read_bytes()


def _package() -> Traversable:
    return resources.files("sgps")
