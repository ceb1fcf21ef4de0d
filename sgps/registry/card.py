"""The model card: one self-contained HTML file that can be read offline and printed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from numpy.typing import NDArray
from PIL import Image

from sgps.datasets.decoding import encode_png
from sgps.registry.package import ModelPackage, SupportImage

THUMBNAIL_SIDE = 144
SHOWN_IMAGES = 12
_LONGEST_CELL = 600
_SHOWN_ELSEWHERE = ("generator", "generator_sha256", "device", "seconds")


def render_card(package: ModelPackage) -> str:
    """HTML of the card of ``package``; every text of the request is escaped.

    At most 12 images a class are shown, as PNG thumbnails with a long side of 144 pixels; the
    digests of all of them are listed.
    """
    return _template().render(
        package=package,
        audit=package.audit,
        classes=[_class_content(package, name) for name in package.classifier.class_names],
        moment=_moment(package.audit["when"]["synthesized"]),
        details=_rows(_without(package.classifier.details, _SHOWN_ELSEWHERE)),
        lineage=_rows(package.audit["generator"]["lineage"] or {}),
        seconds=_rows(package.audit["seconds"]),
        steps=_rows(package.audit["flow"]["steps"]),
        libraries=package.audit["environment"]["libraries"],
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


def _class_content(package: ModelPackage, name: str) -> dict[str, Any]:
    images = package.support_of(name)
    return {
        "name": name,
        "description": package.texts.get(name, ""),
        "images": images,
        "shown": [_figure(image, number) for number, image in enumerate(images[:SHOWN_IMAGES], 1)],
        "hidden": max(0, len(images) - SHOWN_IMAGES),
    }


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


def _rows(value: Mapping[str, Any]) -> dict[str, str]:
    """Rows of a table: names without underscores, values in short."""
    rows = {}
    for key, item in value.items():
        text = _in_short(item)
        shown = text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"
        rows[str(key).replace("_", " ")] = shown
    return rows


def _in_short(item: Any) -> str:
    if isinstance(item, float):
        return f"{item:.4g}"
    if isinstance(item, Mapping):
        return "; ".join(f"{key}: {_in_short(inner)}" for key, inner in item.items())
    if isinstance(item, Sequence) and not isinstance(item, str):
        return ", ".join(_in_short(inner) for inner in item)
    return "not known" if item is None else str(item)


def _moment(time: str) -> str:
    """ISO 8601 in UTC as a reader wants it, to the second."""
    return datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M:%S UTC")
