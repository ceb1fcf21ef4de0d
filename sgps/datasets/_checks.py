"""The checks of a dataset: what each expects, how severe it is, why a row fails it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sgps.datasets._reasons import (
    Explain,
    always,
    copies_of,
    dataset_share,
    near_duplicates,
    other_roles,
    size_of_class,
    size_of_role,
    value_of,
)
from sgps.datasets.manifest import REQUIRED_COLUMNS
from sgps.datasets.records import ROLES

NEEDED_COLUMNS = (*REQUIRED_COLUMNS, "sex", "age", "pixel_sha256", "perceptual_hash")


@dataclass(frozen=True)
class ValidationRules:
    """What a dataset has to satisfy.

    max_hash_distance: bits (of 64) in which perceptual hashes may differ for a pair to be looked
    at more closely. min_detail_similarity: correlation of fine detail (-1 to 1) from which such a
    pair counts as near-duplicates. usual_brightness: mean grey values, 0 to 255;
    max_unusual_share: share of a dataset's images that may lie outside. min_contrast: standard
    deviation of grey values below which an image counts as blank. warn_only: names of checks that
    are reported but refuse nothing. known_near_duplicates: datasets, each with the reason, whose
    near-duplicates among their own images are reported and tolerated.
    """

    roles: tuple[str, ...] = ROLES
    sexes: tuple[str, ...] = ("", "female", "male", "F", "M", "f", "m", "other", "unknown")
    max_age: float = 130.0
    min_side: int = 16
    max_side: int = 4096
    max_hash_distance: int = 8
    min_detail_similarity: float = 0.99
    usual_brightness: tuple[float, float] = (3.0, 252.0)
    max_unusual_share: float = 0.10
    min_contrast: float = 0.1
    min_images_per_class: int = 2
    min_groups_per_class: int = 2
    min_classes_per_role: int = 2
    warn_only: frozenset[str] = frozenset(
        {"brightness", "class_images", "class_groups", "known_near_duplicates"}
    )
    known_near_duplicates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One expectation of Great Expectations with the words around it.

    kind, arguments: class name and keyword arguments of the expectation. explain: why a row (its
    number in the table) fails.
    """

    name: str
    title: str
    expected: str
    kind: str
    arguments: dict[str, Any]
    explain: Explain


def column_checks() -> list[Check]:
    """Checks that the table has the columns everything else needs."""
    return [
        Check(
            name=f"column_{column}",
            title=f"Column {column}",
            expected=f"a column named {column}",
            kind="ExpectColumnToExist",
            arguments={"column": column},
            explain=always(""),
        )
        for column in NEEDED_COLUMNS
    ]


def row_checks(rules: ValidationRules) -> list[Check]:
    """Checks of the rows, in the order of a report."""
    return [
        *_vocabulary_checks(rules),
        *_group_checks(rules),
        *_image_checks(rules),
        *_class_checks(rules),
    ]


def _vocabulary_checks(rules: ValidationRules) -> list[Check]:
    filled = [
        Check(
            name=f"{column}_given",
            title=f"Every image has a {column}",
            expected=f"a {column} of at least one character",
            kind="ExpectColumnValueLengthsToBeBetween",
            arguments={"column": column, "min_value": 1},
            explain=always("empty"),
        )
        for column in ("file", "label", "group")
    ]
    return [
        *filled,
        Check(
            name="file_once",
            title="Each file once",
            expected="no file listed twice in a dataset",
            kind="ExpectCompoundColumnsToBeUnique",
            arguments={"column_list": ["dataset", "file"]},
            explain=always("listed more than once"),
        ),
        _in_set("role", "role", "Known roles", rules.roles),
        _in_set("sex", "sex", "Known words for sex", rules.sexes),
        _between(
            "age",
            "age",
            "Plausible ages",
            f"years from 0 to {rules.max_age:g}, or nothing",
            (0.0, rules.max_age),
        ),
    ]


def _group_checks(rules: ValidationRules) -> list[Check]:
    near = (
        f"hashes within {rules.max_hash_distance} bits of 64 and a detail similarity of at least "
        f"{rules.min_detail_similarity:g}"
    )
    checks = [
        _between(
            "group_role",
            "roles_of_group",
            "No group in two roles",
            "one role for all images of a group",
            (0, 1),
            other_roles,
        ),
        *(
            _between(
                f"exact_{column}s",
                f"{column}s_of_image",
                f"No image in two {column}s",
                f"one {column} for all images of the same pixels",
                (0, 1),
                copies_of(column),
            )
            for column in ("group", "role", "label")
        ),
        _between(
            "near_roles",
            "near_roles",
            "No near-duplicate in two roles",
            f"no pair with {near}",
            (0, 0),
            near_duplicates,
        ),
        _between(
            "near_groups",
            "near_groups",
            "No near-duplicate in two groups",
            f"no pair with {near}",
            (0, 0),
            near_duplicates,
        ),
    ]
    if rules.known_near_duplicates:
        reasons = "; ".join(f"{name}: {why}" for name, why in rules.known_near_duplicates.items())
        checks.append(
            _between(
                "known_near_duplicates",
                "known_near_groups",
                "Known near-duplicates in two groups",
                f"none, but tolerated for {reasons}",
                (0, 0),
                near_duplicates,
            )
        )
    return checks


def _image_checks(rules: ValidationRules) -> list[Check]:
    sides = (rules.min_side, rules.max_side)
    darkest, brightest = rules.usual_brightness
    return [
        _between("width", "width", "Width", f"{sides[0]} to {sides[1]} pixels", sides),
        _between("height", "height", "Height", f"{sides[0]} to {sides[1]} pixels", sides),
        _in_set("channels", "channels", "Colour channels", (3,)),
        _between(
            "not_blank",
            "contrast",
            "No blank image",
            f"grey values with a standard deviation of at least {rules.min_contrast:g}",
            (rules.min_contrast, None),
        ),
        _between(
            "brightness_share",
            "unusual_share",
            "Brightness of the dataset",
            f"at most {rules.max_unusual_share:.0%} of a dataset's images with a mean grey value "
            f"outside {darkest:g} to {brightest:g}",
            (0.0, rules.max_unusual_share),
            dataset_share,
        ),
        _between(
            "brightness",
            "brightness",
            "Brightness of each image",
            f"a mean grey value from {darkest:g} to {brightest:g}",
            rules.usual_brightness,
        ),
    ]


def _class_checks(rules: ValidationRules) -> list[Check]:
    return [
        _between(
            "role_classes",
            "classes_of_role",
            "Classes to tell apart",
            f"in each role at least {rules.min_classes_per_role} classes with at least "
            f"{rules.min_groups_per_class} groups",
            (rules.min_classes_per_role, None),
            size_of_role,
        ),
        _between(
            "class_images",
            "images_of_class",
            "Images of each class",
            f"at least {rules.min_images_per_class} images of a class in a role",
            (rules.min_images_per_class, None),
            size_of_class,
        ),
        _between(
            "class_groups",
            "groups_of_class",
            "Groups of each class",
            f"at least {rules.min_groups_per_class} groups of a class in a role, for support "
            "and query",
            (rules.min_groups_per_class, None),
            size_of_class,
        ),
    ]


def _between(
    name: str,
    column: str,
    title: str,
    expected: str,
    bounds: tuple[float | None, float | None],
    explain: Explain | None = None,
) -> Check:
    return Check(
        name=name,
        title=title,
        expected=expected,
        kind="ExpectColumnValuesToBeBetween",
        arguments={"column": column, "min_value": bounds[0], "max_value": bounds[1]},
        explain=explain or value_of(column),
    )


def _in_set(name: str, column: str, title: str, values: tuple[Any, ...]) -> Check:
    words = " or ".join(str(value) for value in values if value != "")
    return Check(
        name=name,
        title=title,
        expected=f"{words}{', or nothing' if '' in values else ''}",
        kind="ExpectColumnValuesToBeInSet",
        arguments={"column": column, "value_set": list(values)},
        explain=value_of(column),
    )
