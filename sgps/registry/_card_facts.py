"""What the card shows of an audit record, whichever of its fields are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sgps.registry._labels import abstention_threshold

_LONGEST_CELL = 600
_PROOFS = {"none": "the name was not proved", "": "not known"}
_SHOWN_ELSEWHERE = ("validated_on", "validation_accuracy", "benchmark", "bars", "datasets")


@dataclass(frozen=True)
class ImageFacts:
    """One row of the table of support images; a fact that is not known reads so."""

    label: str
    number: int
    size: str
    deidentification: str
    findings: tuple[str, ...]
    influence: str
    contradicts: bool


def people(audit: Mapping[str, Any]) -> dict[str, str]:
    """Role and proof of the requester, and the legal basis, as far as they are recorded."""
    who, why = audit.get("who") or {}, audit.get("why") or {}
    authentication = str(who.get("authentication") or "")
    return {
        "Role": str(who.get("role") or "not known"),
        "Authentication": _PROOFS.get(authentication, f"signed in by {authentication}"),
        "Legal basis": str(why.get("legal_basis") or "not stated"),
    }


def calibration(audit: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, str]:
    """What is known of the probabilities: temperature, threshold and further figures."""
    threshold = abstention_threshold(details, audit)
    rows = dict(audit.get("calibration") or {})
    temperature = rows.pop("temperature", details.get("temperature"))
    rows.pop("abstention_threshold", None)
    shown = {"Temperature": in_short(temperature)}
    if threshold is not None:
        shown["Abstention threshold"] = (
            f"{threshold:.2f}: below this probability of the most probable class it is not sure"
        )
    else:
        shown["Abstention threshold"] = "none: it always answers"
    return shown | rows_of(rows)


def foreignness(details: Mapping[str, Any], known_classes: Sequence[str]) -> dict[str, str]:
    """Which classes of meta-training it compares an image with; empty where it knows none."""
    if not known_classes:
        return {}
    margin = details.get("foreign_margin")
    told = (
        "none: no class has two support images to choose it by"
        if margin is None
        else f"{margin:.2f}: an image with a smaller one may be of no class of this task"
    )
    nearest = details.get("nearest_known_classes") or known_classes
    further = len(known_classes) - len(nearest)
    named = ", ".join(nearest) + (f" and {further} that resemble it less" if further else "")
    return {"Foreign margin": told, "Known classes": named}


def image_facts(
    audit: Mapping[str, Any], details: Mapping[str, Any]
) -> dict[tuple[str, int], ImageFacts]:
    """Facts of each support image by class and place (from 1).

    Its influence is that of the record, or else the one at ``[class][image]`` of the details. Its
    findings are those of the checks about its number, which is its place in the request.
    """
    measured = details.get("influence") or ()
    told = _findings_by_image(audit)
    found = {}
    for place, item in enumerate((audit.get("inputs") or {}).get("classes") or ()):
        label = str(item["name"])
        row = measured[place] if place < len(measured) else ()
        for number, image in enumerate(item.get("images") or (), start=1):
            influence = row[number - 1] if number <= len(row) else None
            facts = {"influence": influence, **image}
            asked = int(image.get("number", number))
            found[label, number] = _image(label, asked, facts, told.get((label, asked), ()))
    return found


def checks(audit: Mapping[str, Any]) -> list[dict[str, str]]:
    """Rows of class, image, check and finding; a list of plain texts is taken too."""
    rows = []
    for check in audit.get("checks") or ():
        facts = check if isinstance(check, Mapping) else {"finding": check}
        rows.append(
            {
                "label": str(facts.get("label") or "all"),
                "image": str(facts.get("image") or "—"),
                "check": str(facts.get("check") or facts.get("code") or "").replace("_", " "),
                "finding": str(facts.get("finding") or facts.get("message") or ""),
            }
        )
    return rows


def benchmark(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """What the generator's own training says of how good it is: caption and rows of figures."""
    validated = lineage.get("validated_on")
    measured = lineage.get("benchmark") or lineage.get("bars")
    scores = validated.get("scores") if isinstance(validated, Mapping) else None
    rows = {str(key): _share(value) for key, value in (scores or {}).items()}
    role = validated.get("role") if isinstance(validated, Mapping) else validated
    mean = lineage.get("validation_accuracy")
    return {
        "mean": None if mean is None else _share(mean),
        "role": str(role or ""),
        "rows": rows,
        "measured": rows_of(measured) if isinstance(measured, Mapping) else {},
    }


def datasets(lineage: Mapping[str, Any]) -> dict[str, str]:
    """Digest of each data set behind the generator, as its lineage names them."""
    found = lineage.get("datasets")
    if not isinstance(found, Mapping):
        return {in_short(name): "" for name in found or ()}
    return {str(name): in_short(digest) for name, digest in found.items()}


def training(lineage: Mapping[str, Any]) -> dict[str, str]:
    """Rows on how the generator was trained, without its figures and data sets."""
    return rows_of({key: lineage[key] for key in lineage if key not in _SHOWN_ELSEWHERE})


def rows_of(value: Mapping[str, Any]) -> dict[str, str]:
    """Rows of a table: names without underscores, values in short."""
    rows = {}
    for key, item in value.items():
        text = in_short(item)
        shown = text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"
        rows[str(key).replace("_", " ")] = shown
    return rows


def in_short(item: Any) -> str:
    """A JSON value as a reader wants it."""
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, float):
        return f"{item:.4g}"
    if isinstance(item, Mapping):
        return "; ".join(f"{key}: {in_short(inner)}" for key, inner in item.items())
    if isinstance(item, Sequence) and not isinstance(item, str):
        return ", ".join(in_short(inner) for inner in item)
    return "not known" if item is None else str(item)


def _findings_by_image(audit: Mapping[str, Any]) -> dict[tuple[str, int], list[str]]:
    found: dict[tuple[str, int], list[str]] = {}
    for check in audit.get("checks") or ():
        if isinstance(check, Mapping) and check.get("label") and check.get("image"):
            words = str(check.get("finding") or "")
            own = f"class {check['label']!r}: image {check['image']}"
            found.setdefault((str(check["label"]), int(check["image"])), []).append(
                words.removeprefix(own).lstrip(": ") or words
            )
    return found


def _image(
    label: str, number: int, image: Mapping[str, Any], findings: Sequence[str]
) -> ImageFacts:
    width, height = image.get("width"), image.get("height")
    size = f"{width} × {height}" if width and height else "not known"
    facts = image.get("deidentification")
    given = facts.get("format") if isinstance(facts, Mapping) else None
    influence = image.get("influence")
    contradicts = isinstance(influence, Mapping) and bool(influence.get("contradicts_its_class"))
    return ImageFacts(
        label=label,
        number=number,
        size=f"{size}, {given}" if given else size,
        deidentification=_deidentification(image),
        findings=tuple(findings),
        influence=_influence(influence),
        contradicts=contradicts,
    )


def _deidentification(image: Mapping[str, Any]) -> str:
    """What was taken out of the file before anything was stored."""
    facts = image.get("deidentification")
    removed = image.get("removed")
    if isinstance(facts, Mapping):
        removed = facts.get("removed", removed)
        stored = "; stored as pixels alone" if facts.get("re_encoded") else ""
        return f"removed: {in_short(removed) or 'nothing was there'}{stored}"
    if facts:
        return in_short(facts)
    return (
        "not known" if removed is None else f"removed: {in_short(removed) or 'nothing was there'}"
    )


def _influence(influence: Any) -> str:
    if isinstance(influence, Mapping):
        influence = influence.get("influence")
    return f"{100 * influence:.1f} points" if isinstance(influence, int | float) else "not measured"


def _share(value: Any) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, int | float) else in_short(value)
