"""The card: self-contained, escaped, accessible, complete."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from sgps.registry import ModelPackage, SupportImage, render_card
from sgps.synthesizer import SynthesizedClassifier
from sgps.synthesizer.resemblance import Resemblance

BuildPackage = Callable[..., ModelPackage]


class Outline(HTMLParser):
    """Elements, attributes and heading levels of a page; complains of unclosed elements."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_card_loads_nothing_from_elsewhere(build_package: BuildPackage) -> None:
    page = render_card(build_package())
    outline = Outline(page)
    assert outline.open == []
    assert {name for name, _ in outline.elements}.isdisjoint({"script", "link", "iframe", "object"})
    assert not re.search(r"https?://|url\(|@import", page)
    assert all(
        str(image["src"]).startswith("data:image/png;base64,") for image in outline.of("img")
    )


def test_the_card_is_accessible(build_package: BuildPackage) -> None:
    outline = Outline(render_card(build_package()))
    assert outline.of("html")[0]["lang"] == "en"
    headings = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert outline.of("img")[0]["alt"] == "Support image 1 of class melanoma, 40 by 32 pixels"
    identifiers = [str(a["id"]) for _, a in outline.elements if "id" in a]
    labels = [str(a["aria-labelledby"]) for _, a in outline.elements if "aria-labelledby" in a]
    assert len(set(identifiers)) == len(identifiers)
    assert set(labels) <= set(identifiers)


def test_the_card_tells_the_whole_story(build_package: BuildPackage) -> None:
    package = build_package()
    page = render_card(package)
    for part in (
        "Not for clinical use", "Intended use", "Dr. Ada", "To show that it works.", "Asymmetric.",
        "2030-01-02 03:04:06 UTC", package.request_id, "untrained", "b" * 64, "phantom: 5",
        package.classifier.weights_sha256, "tf_efficientnet_lite0", "No description was given.",
    ):  # fmt: skip
        assert part in page
    for image in package.support:
        assert image.pixel_sha256 in page


def test_everything_in_a_request_is_escaped(build_package: BuildPackage) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"
    package = build_package(evil, names=(evil[:60], "b"), text=evil, requester=evil, purpose=evil)
    page = render_card(package)
    outline = Outline(page)
    assert outline.of("script") == []
    assert all("onerror" not in attributes for attributes in outline.of("img"))
    assert "{{ 7*7 }}" in page


def test_a_thumbnail_keeps_the_proportions(build_package: BuildPackage) -> None:
    tall = np.zeros((400, 100, 3), dtype=np.uint8)
    support = (SupportImage("melanoma", "a.png", tall, "support/a/1.png", "c" * 64, "d" * 64),)
    page = render_card(build_package(support=support))
    data = Outline(page).of("img")[0]["src"]
    image = Image.open(io.BytesIO(base64.b64decode(str(data).split(",")[1])))
    assert image.size == (36, 144)


def test_many_images_are_counted_and_not_all_shown(build_package: BuildPackage) -> None:
    page = render_card(build_package(shots=15))
    assert page.count("<figure>") == 24
    assert page.count("and 3 more") == 2


def test_warnings_are_shown(build_package: BuildPackage) -> None:
    audit = dict(build_package().audit) | {"warnings": ["a.png shows the same as b.png"]}
    assert "a.png shows the same as b.png" in render_card(build_package(audit=audit))


def full_audit(package: ModelPackage) -> dict[str, object]:
    """An audit record with every field that the card knows."""
    image = {
        "width": 640, "height": 480,
        "deidentification": {"removed": ["EXIF", "GPS"], "re_encoded": True, "format": "JPEG"},
        "influence": {"influence": 0.123, "contradicts_its_class": True, "judged": True},
    }  # fmt: skip
    classes = [
        {
            "name": name,
            "images": [
                image | {"number": 2 * place + 1} for place in range(len(package.support_of(name)))
            ],
        }
        for name in package.classifier.class_names
    ]
    lineage = {
        "images": {"phantom": 5}, "validation_accuracy": 0.6063,
        "datasets": {f"set_{number}": f"{number:064x}" for number in range(40)},
        "validated_on": {"role": "novel_val", "scores": {"dtd_part/5-shot": 0.7616}},
    }  # fmt: skip
    return dict(package.audit) | {
        "who": {"requester": "Dr. Ada", "role": "steward", "authentication": "basic"},
        "why": {"purpose": "x", "legal_basis": "Consent of 2 May."},
        "inputs": {"request_sha256": "a" * 64, "classes": classes},
        "calibration": {"temperature": 7.25, "abstention_threshold": 0.55, "left out right": 0.9},
        "checks": [
            {"check": "near_duplicate", "label": "naevus", "image": 2, "finding": "Like number 1."},
            {
                "check": "dark",
                "label": "naevus",
                "image": 3,
                "finding": "class 'naevus': image 3: The image is very dark.",
            },
        ],
        "warnings": ["Like number 1.", "Few images."],
        "generator": {"name": "untrained", "sha256": "b" * 64, "lineage": lineage},
    }


def test_the_card_shows_all_that_is_recorded(build_package: BuildPackage) -> None:
    package = build_package()
    page = render_card(build_package(audit=full_audit(package)))
    assert Outline(page).open == []
    for part in (
        "steward", "signed in by basic", "Consent of 2 May.", "Abstention threshold", "7.25",
        "left out right", "near duplicate", "Few images.", "removed: EXIF, GPS; stored as pixels",
        "The image is very dark.", "12.3 points", "looks like another class", "640 × 480, JPEG",
        "60.6 %", "novel_val", "dtd_part/5-shot", "76.2 %", "draft when this card was written",
    ):  # fmt: skip
        assert part in page, part
    assert page.count("Like number 1.") == 1
    assert "<li>The image is very dark.</li>" in page
    assert f"{39:064x}" in page


def test_the_card_says_what_is_not_known(build_package: BuildPackage) -> None:
    page = render_card(build_package())
    for part in ("not stated", "not known", "No check found anything to warn of."):
        assert part in page
    assert "Each support image" not in page
    assert "How good the generator is elsewhere" not in page


def test_new_fields_are_escaped_too(build_package: BuildPackage) -> None:
    evil = "<script>alert(1)</script>"
    audit = full_audit(build_package()) | {
        "who": {"role": evil, "authentication": evil},
        "why": {"legal_basis": evil},
        "checks": [{"check": evil, "label": evil, "image": 1, "finding": evil}, evil],
        "warnings": [evil + "2"],
        "calibration": {evil: evil},
    }
    assert Outline(render_card(build_package(audit=audit))).of("script") == []


def informed(
    plain: SynthesizedClassifier, margin: float | None, nearest: list[str] | None = None
) -> SynthesizedClassifier:
    """The same classifier, beside two known classes; the name of one would run if unescaped."""
    known = ("ham10000: nv", "<script>alert(1)</script>")
    told = {} if nearest is None else {"nearest_known_classes": nearest}
    ways = len(plain.class_names)
    width = plain.head.weight_ND.shape[1]
    return SynthesizedClassifier(
        plain.body_state_dict(),
        plain.head,
        class_names=plain.class_names,
        architecture=plain.architecture,
        resolution=plain.resolution,
        taps=plain.taps,
        details=plain.details | {"foreign_margin": margin} | told,
        resemblance=Resemblance(
            torch.zeros(ways, width).half(),
            torch.zeros(len(known), 3).half(),
            known,
            torch.zeros(width, 3).half(),
        ),
    )


@pytest.mark.parametrize(
    ("margin", "words"),
    [
        (-0.0812, "-0.08: an image with a smaller one may be of no class of this task"),
        (None, "none: no class has two support images to choose it by"),
    ],
)
def test_the_card_names_the_known_classes(
    build_package: BuildPackage, margin: float | None, words: str
) -> None:
    plain = build_package()
    page = render_card(build_package(classifier=informed(plain.classifier, margin)))
    assert Outline(page).of("script") == []
    assert f"<dt>Foreign margin</dt><dd>{words}</dd>" in page
    assert "ham10000: nv, &lt;script&gt;" in page
    assert ("it hints at images" in page) == (margin is not None)
    assert "foreign margin" not in page
    without = render_card(plain)
    for part in ("Foreign margin", "Known classes", "it hints at images"):
        assert part not in without


def test_of_many_known_classes_the_card_names_the_nearest(build_package: BuildPackage) -> None:
    nearest = ["<script>alert(1)</script>"]
    page = render_card(
        build_package(classifier=informed(build_package().classifier, None, nearest))
    )
    named = "<dd>&lt;script&gt;alert(1)&lt;/script&gt; and 1 that resemble it less</dd>"
    assert named in page
    assert "ham10000: nv" not in page
    assert "nearest known classes" not in page
