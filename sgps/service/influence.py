"""What each support image does to a classifier, as its ledger entry recorded it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sgps.audit import LedgerEntry
from sgps.errors import UserError
from sgps.service.synthesis import LEDGER_KIND
from sgps.service.workspace import Workspace


def recorded_influence(request_id: str, workspace: Workspace) -> list[dict[str, Any]]:
    """Per class of a finished request, in its order, what its images do; JSON-able.

    Each is ``{"class": name, "images": [...]}`` with, for each image that was not left out:

    - image: its number in the class as requested, from 1;
    - pixel_sha256: digest of its pixels, None where the version with its images cannot be read;
    - judged: whether another image of its class was left to judge it by;
    - contradicts_its_class: whether it would get another class from the others;
    - taken_for: the class that the others give it, None where it is not judged;
    - influence: mean change of the probabilities of the others without it, 0 to 1.

    Empty where nothing is recorded, as of a request that is not done or was made earlier.

    Raises
    ------
    StoreError: the ledger cannot be read.
    """
    entries = workspace.ledger.find(request_id=request_id)
    for entry in entries:
        if entry.kind == LEDGER_KIND:
            return _by_class(entry, workspace)
    return []


def _by_class(entry: LedgerEntry, workspace: Workspace) -> list[dict[str, Any]]:
    audit = entry.record["audit"]
    measured = audit["outputs"].get("details", {}).get("influence")
    if not measured:
        return []
    classes = audit["inputs"]["classes"]
    names = [item["name"] for item in classes]
    digests = _pixel_digests(entry.record["registered"]["run_id"], workspace) or [
        [None] * len(item["images"]) for item in classes
    ]
    return [
        {
            "class": name,
            "images": [
                {"image": number, "pixel_sha256": digest, **_facts(image, name, names)}
                for number, digest, image in zip(
                    _numbers(audit["checks"], name), digests[place], measured[place], strict=False
                )
            ],
        }
        for place, name in enumerate(names)
    ]


def _pixel_digests(run_id: str, workspace: Workspace) -> list[list[str | None]]:
    """Per class the digests of its images; the ledger itself keeps them sealed."""
    try:
        audit = workspace.registry.audit_record(run_id)
    except UserError:
        return []
    return [
        [image.get("pixel_sha256") for image in item["images"]]
        for item in audit.get("inputs", {}).get("classes", [])
    ]


def _numbers(checks: Sequence[Mapping[str, Any]], label: str) -> Iterator[int]:
    """Numbers, as requested, of the images of a class that were not left out as duplicates."""
    left_out = {
        check["image"]
        for check in checks
        if check["check"] == "duplicate" and check["label"] == label
    }
    return (number for number in itertools.count(1) if number not in left_out)


def _facts(image: Mapping[str, Any], own: str, names: Sequence[str]) -> dict[str, Any]:
    judged, contradicts = bool(image["judged"]), bool(image["contradicts_its_class"])
    probabilities = dict(zip(names, image["probabilities_without_it"], strict=True))
    if contradicts:
        probabilities.pop(own)
    taken_for = max(probabilities, key=probabilities.__getitem__) if contradicts else own
    return {
        "judged": judged,
        "contradicts_its_class": contradicts,
        "taken_for": taken_for if judged else None,
        "influence": image["influence"],
    }
