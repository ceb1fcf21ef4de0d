"""The model card: one self-contained HTML file that can be read offline and printed."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from numpy.typing import NDArray
from PIL import Image

from sgps.datasets.decoding import encode_png
from sgps.registry._card_facts import (
    ImageFacts,
    benchmark,
    calibration,
    checks,
    datasets,
    foreignness,
    image_facts,
    people,
    rows_of,
    training,
)
from sgps.registry._labels import abstention_threshold
from sgps.registry.package import ModelPackage, SupportImage

THUMBNAIL_SIDE = 144
SHOWN_IMAGES = 12
_SHOWN_ELSEWHERE = (
    "generator", "generator_sha256", "device", "seconds", "temperature", "abstention_threshold",
    "influence", "foreign_margin", "nearest_known_classes",
)  # fmt: skip


def render_card(package: ModelPackage) -> str:
    """HTML of the card of ``package``; every text of the request is escaped.

    At most 12 images a class are shown, as PNG thumbnails with a long side of 144 pixels; the
    digests of all of them are listed. Fields that the audit record lacks read as not known.
    """
    audit = package.audit
    details = package.classifier.details
    resemblance = package.classifier.resemblance
    lineage = audit["generator"]["lineage"] or {}
    images = image_facts(audit, details)
    return _template().render(
        package=package,
        audit=audit,
        people=people(audit),
        calibration=calibration(audit, details),
        abstains=abstention_threshold(details, audit) is not None,
        hints=details.get("foreign_margin") is not None,
        foreignness=foreignness(details, resemblance.names if resemblance else ()),
        classes=[_class_content(package, name, images) for name in package.classifier.class_names],
        has_image_facts=bool(images),
        checks=checks(audit),
        warnings=_warnings(audit),
        moment=_moment(audit["when"]["synthesized"]),
        details=rows_of(_without(details, _SHOWN_ELSEWHERE)),
        benchmark=benchmark(lineage),
        lineage=training(lineage),
        datasets=datasets(lineage),
        seconds=rows_of(audit["seconds"]),
        steps=rows_of(audit["flow"]["steps"]),
        libraries=audit["environment"]["libraries"],
    )


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("sgps.registry"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("card.html.j2")


def _class_content(
    package: ModelPackage, name: str, facts: Mapping[tuple[str, int], ImageFacts]
) -> dict[str, Any]:
    images = package.support_of(name)
    return {
        "name": name,
        "description": package.texts.get(name, ""),
        "images": images,
        "facts": [facts[name, n] for n in range(1, len(images) + 1) if (name, n) in facts],
        "shown": [_figure(image, number) for number, image in enumerate(images[:SHOWN_IMAGES], 1)],
        "hidden": max(0, len(images) - SHOWN_IMAGES),
    }


def _warnings(audit: Mapping[str, Any]) -> list[str]:
    """Warnings that no check says already."""
    said = {check["finding"] for check in checks(audit)}
    return [str(warning) for warning in audit.get("warnings") or () if warning not in said]


def _figure(image: SupportImage, number: int) -> dict[str, Any]:
    height, width = image.pixels.shape[:2]
    small = _thumbnail(image.pixels)
    return {
        "source": "data:image/png;base64," + base64.b64encode(encode_png(small)).decode(),
        "alt": f"Support image {number} of class {image.label}, {width} by {height} pixels",
        "width": small.shape[1],
        "height": small.shape[0],
        "digest": image.pixel_sha256[:12],
        "number": number,
    }


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.uint8)


def _without(value: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in keys}


def _moment(time: str) -> str:
    """ISO 8601 in UTC as a reader wants it, to the second."""
    return datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M:%S UTC")
