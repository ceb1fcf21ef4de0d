"""One image as the ISIC archive describes it, reduced to what SGPS keeps."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from sgps.errors import InputError

_IDENTIFIER = re.compile(r"ISIC_\d{7,12}")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_DIAGNOSES = (
    "diagnosis",
    "diagnosis_5",
    "diagnosis_4",
    "diagnosis_3",
    "diagnosis_2",
    "diagnosis_1",
)
_KEPT = ("image_type", "diagnosis_confirm_type", "melanocytic", "fitzpatrick_skin_type")


@dataclass(frozen=True)
class IsicImage:
    """One image: file name, address, size in bytes (None where not told) and clinical facts."""

    file: str
    url: str
    size: int | None
    label: str
    group: str
    sex: str
    age: float | None
    site: str
    extra: str


def parse_image(
    result: Mapping[str, Any], label_field: str | None, patients: Mapping[str, str]
) -> IsicImage | None:
    """One entry of a listing; None where it has no label.

    patients: patient of a lesion, for images that name the lesion alone.

    Raises
    ------
    InputError: the entry is not of the ISIC API v2.
    """
    identifier = str(result.get("isic_id", ""))
    if not _IDENTIFIER.fullmatch(identifier):
        raise InputError(
            f"ISIC archive: an image named {identifier[:60]!r}", expected="ISIC_ and digits"
        )
    metadata = _mapping(result.get("metadata"))
    clinical = _mapping(metadata.get("clinical"))
    label = _label(clinical, label_field)
    if not label:
        return None
    full = _mapping(_mapping(result.get("files")).get("full"))
    url = str(full.get("url", ""))
    suffix = PurePosixPath(urlsplit(url).path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(
            f"{identifier}: a file of type {suffix[:20]!r}", expected=" or ".join(_SUFFIXES)
        )
    return IsicImage(
        file=f"{identifier}{suffix}",
        url=url,
        size=_size(full.get("size")),
        label=label,
        group=_group(identifier, clinical, patients),
        sex=_text(clinical.get("sex")),
        age=_age(clinical.get("age_approx")),
        site=_text(clinical.get("anatom_site_general")),
        extra=_extra(result, {**_mapping(metadata.get("acquisition")), **clinical}),
    )


def patients_of_lesions(results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Patient of each lesion that any entry names one for."""
    patients: dict[str, str] = {}
    for result in results:
        clinical = _mapping(_mapping(result.get("metadata")).get("clinical"))
        lesion, patient = _text(clinical.get("lesion_id")), _text(clinical.get("patient_id"))
        if lesion and patient:
            patients[lesion] = patient
    return patients


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _size(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _label(clinical: Mapping[str, Any], field: str | None) -> str:
    fields = (field,) if field else _DIAGNOSES
    return next((_text(clinical[name]) for name in fields if clinical.get(name)), "")


def _group(identifier: str, clinical: Mapping[str, Any], patients: Mapping[str, str]) -> str:
    lesion = _text(clinical.get("lesion_id"))
    patient = _text(clinical.get("patient_id")) or patients.get(lesion, "")
    return patient or lesion or identifier


def _age(value: Any) -> float | None:
    try:
        age = float(value)
    except (TypeError, ValueError):
        return None
    return age if math.isfinite(age) and 0 <= age <= 130 else None


def _extra(result: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    kept = {name: facts.get(name) for name in _KEPT}
    kept["license"] = result.get("copyright_license")
    kept["attribution"] = result.get("attribution")
    return ";".join(
        f"{name}={_text(value)}" for name, value in kept.items() if value not in (None, "")
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())[:300]
