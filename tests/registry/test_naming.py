"""Names that no text of a request can turn into a path or a key."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgps.registry.naming import model_name_for, support_artifact_names


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Skin marks", "skin-marks"),
        ("  SKIN / marks!", "skin-marks"),
        ("Pólipo-Größe 3", "polipo-grosse-3"),
        ("../../etc/passwd", "etc-passwd"),
    ],
)
def test_a_title_becomes_a_name(title: str, name: str) -> None:
    assert model_name_for(title) == name


def test_letters_that_are_lost_are_told_apart_by_a_digest() -> None:
    names = {model_name_for(title) for title in ("皮膚", "皮疹", "β-cells", "γ-cells", "!!", "?!")}
    assert len(names) == 6
    assert all(name.isascii() for name in names)


def test_long_titles_are_told_apart() -> None:
    assert model_name_for("x" * 119 + "a") != model_name_for("x" * 119 + "b")


@given(st.text(min_size=1, max_size=150))
def test_every_title_has_a_safe_name(title: str) -> None:
    assert re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", model_name_for(title))
    assert len(model_name_for(title)) <= 67


@given(st.lists(st.text(min_size=1, max_size=20), min_size=2, max_size=6, unique=True))
def test_artifact_paths_are_unique_and_stay_inside(labels: list[str]) -> None:
    digests = {label: ["a" * 64, "b" * 64] for label in labels}
    paths = [path for row in support_artifact_names(digests).values() for path in row]
    assert len(set(paths)) == 2 * len(labels)
    for path in paths:
        assert re.fullmatch(r"support/[a-z0-9-]+/[12]-[ab]{12}\.png", path)
        assert ".." not in PurePosixPath(path).parts
