"""Names that the server makes, so that no text of a request becomes a path or a key."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence

_LONGEST = 60
_HASH_LENGTH = 12


def model_name_for(task: str) -> str:
    """Registry name of a task: lower-case letters, digits and hyphens, at most 67 characters.

    Titles that differ in case, accents, spaces or punctuation share a name. Where letters are lost
    or the title is long, six digits of its sha256 keep names apart.
    """
    return _slug(task, fallback="task")


def support_artifact_names(pixel_sha256: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Artifact paths ``support/<class>/<n>-<hash>.png`` of each class's images.

    ``pixel_sha256`` holds, per class name, the digest of each of its images in order; the result
    has the same form.
    """
    folders: dict[str, str] = {}
    for label in pixel_sha256:
        folder = _slug(label, fallback="class")
        folders[label] = folder if folder not in folders.values() else f"{folder}-{_digest(label)}"
    return {
        label: [
            f"support/{folders[label]}/{number}-{digest[:_HASH_LENGTH]}.png"
            for number, digest in enumerate(digests, start=1)
        ]
        for label, digests in pixel_sha256.items()
    }


def _slug(title: str, *, fallback: str) -> str:
    plain = unicodedata.normalize("NFKD", title.casefold())
    plain = "".join(mark for mark in plain if not unicodedata.combining(mark))
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    lost = any(letter.isalnum() and not letter.isascii() for letter in plain)
    if lost or not slug or len(slug) > _LONGEST:
        slug = f"{slug[:_LONGEST].strip('-') or fallback}-{_digest(plain)}"
    return slug


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
