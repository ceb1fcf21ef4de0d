"""What the checks of a request found, as its ledger entry recorded it, for the page to tell."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from sgps.audit import Ledger, LedgerEntry
from sgps.service.known_images import KNOWN_IMAGE
from sgps.web.titles import Titles

_MODEL_URI = re.compile(r"models:/[^/\s]+/\d+")


def remarks_of(entry: LedgerEntry, ledger: Ledger) -> dict[str, Any]:
    """The findings about the images of a synthesis; JSON-able.

    ``{"pictures": [...], "known": [...]}``. Of a picture: check, class, image (its number in the
    class as requested, from 1; 0 where it concerns several), message. Known ones, in one line for
    each earlier model: model_uri, title ("" where the name says it), pictures (how many), of (how
    many the classifier was made from). Raises StoreError.
    """
    audit = entry.record["audit"]
    checks = audit.get("checks", [])
    images = sum(len(item["images"]) for item in audit["inputs"]["classes"])
    known = Counter(
        model[0]
        for check in checks
        if check["check"] == KNOWN_IMAGE and (model := _MODEL_URI.search(check["finding"]))
    )
    titles = Titles(ledger)
    return {
        "pictures": [_picture(check) for check in checks if check["check"] != KNOWN_IMAGE],
        "known": [
            {"model_uri": uri, "title": titles.of(uri), "pictures": count, "of": images}
            for uri, count in known.most_common()
        ],
    }


def _picture(check: dict[str, Any]) -> dict[str, Any]:
    label, image = check["label"], check["image"]
    message = check["finding"].removeprefix(f"class {label!r}: ").removeprefix(f"image {image}: ")
    return {"check": check["check"], "class": label, "image": image, "message": message}
