import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from sgps.datasets.decoding import encode_png
from sgps.datasets.expectations import ValidationResult, ValidationRules, validate_datasets
from sgps.datasets.ingest import ingest
from sgps.datasets.records import ImageRecord
from sgps.datasets.storage import StoredDataset
from sgps.errors import InputError


@dataclass
class MemorySource:
    rows: list[ImageRecord]
    name: str = "small"

    def __len__(self) -> int:
        return len(self.rows)

    def records(self) -> Iterator[ImageRecord]:
        yield from self.rows


@dataclass
class Pictures:
    """Distinct textured images: colour noise of a few pixels' grain."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def draw(self, low: int = 40, high: int = 215) -> np.ndarray:
        coarse = self.rng.integers(low, high, (16, 16, 3), dtype=np.uint8)
        return np.kron(coarse, np.ones((4, 4, 1), dtype=np.uint8))


def record(name: str, pixels: np.ndarray, **values: object) -> ImageRecord:
    data = encode_png(pixels)
    row = ImageRecord(name=name, label="a", group=name, role="meta_train", read=lambda: data)
    return replace(row, **values)


def clean_rows(pictures: Pictures, classes: str = "abc", each: int = 3) -> list[ImageRecord]:
    return [
        record(f"{label}{number}.png", pictures.draw(), label=label)
        for label in classes
        for number in range(each)
    ]


def store(tmp_path: Path, rows: list[ImageRecord], name: str = "small") -> StoredDataset:
    return ingest(MemorySource(rows, name), tmp_path / "store")


def failed(result: ValidationResult) -> dict[str, tuple[str, ...]]:
    return {finding.check: finding.rows for finding in result.findings if not finding.passed}


@pytest.fixture
def pictures() -> Pictures:
    return Pictures()


def test_a_clean_dataset_passes(tmp_path: Path, pictures: Pictures) -> None:
    dataset = store(tmp_path, clean_rows(pictures))
    result = validate_datasets([dataset])
    assert result.passed
    assert failed(result) == {}
    assert result.digests == {"small": dataset.digest}
    assert [(count.label, count.images, count.groups) for count in result.classes] == [
        ("a", 3, 3),
        ("b", 3, 3),
        ("c", 3, 3),
    ]
    json.dumps(result.to_dict())


def test_a_group_in_two_roles_is_refused(tmp_path: Path, pictures: Pictures) -> None:
    rows = clean_rows(pictures)
    rows += [
        record(f"{label}v{n}.png", pictures.draw(), label=label, role="meta_val")
        for label in "ab"
        for n in range(2)
    ]
    rows[-1] = replace(rows[-1], group="a0.png")
    result = validate_datasets([store(tmp_path, rows)])
    assert not result.passed
    assert failed(result)["group_role"] == ("a0.png", "bv1.png")
    finding = result.refusals[0]
    assert "meta_train, meta_val" in finding.reasons[0]
    assert finding.partners == ("bv1.png", "a0.png")


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"group": "other"}, "exact_groups"),
        ({"group": "other", "role": "novel_test"}, "exact_roles"),
        ({"group": "a0.png", "label": "b"}, "exact_labels"),
    ],
)
def test_an_exact_duplicate_elsewhere_is_refused(
    tmp_path: Path, pictures: Pictures, change: dict[str, str], check: str
) -> None:
    rows = clean_rows(pictures)
    rows.append(replace(rows[0], name="copy.png", **change))
    result = validate_datasets([store(tmp_path, rows)])
    assert not result.passed
    assert failed(result)[check] == ("a0.png", "copy.png")
    assert "near_groups" not in failed(result)


def test_an_exact_duplicate_in_its_own_group_passes(tmp_path: Path, pictures: Pictures) -> None:
    rows = clean_rows(pictures)
    rows.append(replace(rows[0], name="copy.png"))
    assert validate_datasets([store(tmp_path, rows)]).passed


def test_a_duplicate_across_datasets_is_refused(tmp_path: Path, pictures: Pictures) -> None:
    rows = clean_rows(pictures)
    others = clean_rows(pictures)
    others[4] = replace(rows[0], name="same.png", label="b")
    both = [store(tmp_path, rows, "first"), store(tmp_path, others, "second")]
    assert all(validate_datasets([dataset]).passed for dataset in both)
    result = validate_datasets(both)
    assert failed(result)["exact_groups"] == ("first/a0.png", "second/same.png")
    assert "exact_labels" not in failed(result)


def near_copy(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels.astype(np.float64) * 0.8 + 9, 0, 255).astype(np.uint8)


def with_near_copy(pictures: Pictures, role: str = "meta_train") -> list[ImageRecord]:
    original = pictures.draw()
    rows = clean_rows(pictures)
    rows.append(record("original.png", original))
    if role != "meta_train":
        rows += [
            record(f"{label}v{number}.png", pictures.draw(), label=label, role=role)
            for label in "ab"
            for number in range(2)
        ]
    rows.append(record("darker.png", near_copy(original), role=role))
    return rows


def test_a_near_duplicate_in_another_group_is_refused(tmp_path: Path, pictures: Pictures) -> None:
    result = validate_datasets([store(tmp_path, with_near_copy(pictures))])
    assert failed(result) == {"near_groups": ("original.png", "darker.png")}
    assert result.refusals[0].partners == ("darker.png", "original.png")
    assert "similarity" in result.refusals[0].reasons[0]


def test_a_near_duplicate_in_another_role_is_named_as_such(
    tmp_path: Path, pictures: Pictures
) -> None:
    result = validate_datasets([store(tmp_path, with_near_copy(pictures, "novel_test"))])
    assert set(failed(result)) == {"near_roles", "near_groups"}


def test_known_near_duplicates_are_reported_and_tolerated(
    tmp_path: Path, pictures: Pictures
) -> None:
    rules = ValidationRules(known_near_duplicates={"small": "contrast-changed copies"})
    result = validate_datasets([store(tmp_path, with_near_copy(pictures))], rules)
    assert result.passed
    (finding,) = result.warnings
    assert finding.check == "known_near_duplicates"
    assert "contrast-changed copies" in finding.expected


def test_unknown_words_are_refused(tmp_path: Path, pictures: Pictures) -> None:
    rows = clean_rows(pictures)
    rows[1] = replace(rows[1], sex="two")
    rows[2] = replace(rows[2], sex="M")
    result = validate_datasets([store(tmp_path, rows)])
    assert failed(result) == {"sex": ("a1.png",)}
    assert result.refusals[0].reasons == ("sex 'two'",)


def test_implausible_age_is_refused(tmp_path: Path, pictures: Pictures) -> None:
    rows = clean_rows(pictures)
    rows[1] = replace(rows[1], age=240.0)
    rows[2] = replace(rows[2], age=40.0)
    assert failed(validate_datasets([store(tmp_path, rows)])) == {"age": ("a1.png",)}


def test_a_blank_image_is_refused(tmp_path: Path, pictures: Pictures) -> None:
    rows = clean_rows(pictures)
    rows[1] = record("a1.png", np.full((64, 64, 3), 120, dtype=np.uint8))
    assert failed(validate_datasets([store(tmp_path, rows)])) == {"not_blank": ("a1.png",)}


def test_one_dark_image_warns_and_many_refuse(tmp_path: Path, pictures: Pictures) -> None:
    rows = clean_rows(pictures, each=8)
    rows[0] = record("a0.png", pictures.draw(0, 5))
    one = validate_datasets([store(tmp_path, rows)])
    assert one.passed
    assert failed(one) == {"brightness": ("a0.png",)}
    rows[:6] = [record(f"a{n}.png", pictures.draw(0, 5)) for n in range(6)]
    many = validate_datasets([store(tmp_path, rows, "dark")])
    assert "brightness_share" in failed(many)
    assert not many.passed


def test_sizes_are_bounded_by_the_rules(tmp_path: Path, pictures: Pictures) -> None:
    rules = ValidationRules(min_side=80)
    result = validate_datasets([store(tmp_path, clean_rows(pictures))], rules)
    assert set(failed(result)) == {"width", "height"}


def test_small_classes_warn_and_a_role_of_one_class_is_refused(
    tmp_path: Path, pictures: Pictures
) -> None:
    rows = clean_rows(pictures)
    rows.append(record("d0.png", pictures.draw(), label="d"))
    result = validate_datasets([store(tmp_path, rows)])
    assert result.passed
    assert set(failed(result)) == {"class_images", "class_groups"}
    alone = [record(f"v{n}.png", pictures.draw(), role="novel_val") for n in range(3)]
    result = validate_datasets([store(tmp_path, rows + alone, "more")])
    assert failed(result)["role_classes"] == ("v0.png", "v1.png", "v2.png")


def test_the_role_unassigned_may_have_one_class(tmp_path: Path, pictures: Pictures) -> None:
    rows = [record(f"{n}.png", pictures.draw(), role="unassigned") for n in range(3)]
    assert validate_datasets([store(tmp_path, rows)]).passed


def test_checks_can_be_made_warnings(tmp_path: Path, pictures: Pictures) -> None:
    rules = ValidationRules(warn_only=frozenset({"near_groups"}))
    result = validate_datasets([store(tmp_path, with_near_copy(pictures))], rules)
    assert result.passed
    assert [finding.check for finding in result.warnings] == ["near_groups"]


def test_a_missing_column_is_refused_before_anything_else(
    tmp_path: Path, pictures: Pictures
) -> None:
    dataset = store(tmp_path, clean_rows(pictures))
    dataset.frame = dataset.frame.drop(columns=["sex"])
    result = validate_datasets([dataset])
    assert failed(result) == {"column_sex": ()}
    assert result.classes == ()


def test_at_most_fifty_rows_are_listed(tmp_path: Path, pictures: Pictures) -> None:
    rows = clean_rows(pictures, each=20)
    rows = [replace(row, sex="x") for row in rows]
    (finding,) = validate_datasets([store(tmp_path, rows)]).refusals
    assert (finding.count, len(finding.rows), len(finding.reasons)) == (60, 50, 50)


def test_no_dataset_or_one_twice_is_an_input_error(tmp_path: Path, pictures: Pictures) -> None:
    with pytest.raises(InputError, match="none"):
        validate_datasets([])
    dataset = store(tmp_path, clean_rows(pictures))
    with pytest.raises(InputError, match="small, small"):
        validate_datasets([dataset, dataset])


def test_nothing_is_printed(
    tmp_path: Path, pictures: Pictures, capfd: pytest.CaptureFixture[str]
) -> None:
    validate_datasets([store(tmp_path, clean_rows(pictures))])
    assert capfd.readouterr() == ("", "")
