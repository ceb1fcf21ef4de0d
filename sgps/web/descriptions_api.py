"""``/api/descriptions``: texts of known classes to pick from."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from sgps.datasets.descriptions import DescriptionLibrary
from sgps.datasets.phantoms import PHANTOM_CLASSES
from sgps.errors import InputError
from sgps.web.authentication import ROLES, require_role

MOST_ANSWERS = 12
_FOLDER = Path(__file__).parents[2] / "data" / "descriptions"
_DRAWN = "phantom"
_LONGEST_TITLE = 80

router = APIRouter(prefix="/api/descriptions")


@router.get("")
def find_descriptions(request: Request, query: str = "") -> JSONResponse:
    """Descriptions in which every word of ``query`` occurs, at most 12.

    Those whose label has all the words come first, those of drawn lesions last.
    """
    require_role(request, *ROLES)
    words = query.casefold().split()[:10]
    found = [
        {"dataset": dataset, "label": label, "title": _title(label, text), "text": text}
        for dataset, label, text in _known_descriptions()
        if _has_all(words, f"{label} {text}")
    ]
    found.sort(key=lambda one: (one["dataset"] == _DRAWN, not _has_all(words, one["label"])))
    return JSONResponse({"descriptions": found[:MOST_ANSWERS], "found": len(found)})


def _has_all(words: list[str], text: str) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def _title(label: str, text: str) -> str:
    """What a text describes, as its own first words say; else the label."""
    words, colon, _ = text.partition(":")
    return words if colon and len(words) <= _LONGEST_TITLE else label.replace("_", " ")


@cache
def _known_descriptions() -> tuple[tuple[str, str, str], ...]:
    """Data set, label and text of every class described in this checkout, and of drawn lesions."""
    drawn = tuple((_DRAWN, label, text) for label, text in PHANTOM_CLASSES.items())
    try:
        library = DescriptionLibrary.load(_FOLDER)
    except InputError:
        return drawn
    return drawn + tuple(
        (dataset, label, described.text)
        for dataset in library.datasets
        for label in library.labels(dataset)
        if (described := library.get(dataset, label)) is not None
    )
