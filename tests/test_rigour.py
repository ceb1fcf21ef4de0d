"""Training and refitting read images of role meta_train, meta_val and novel_val, and no others.

The real thing runs on drawn lesions: what the rows of role novel_test hold, where they stand, how
they are labelled and described, and whether they are there at all changes no bit of a generator,
and reading one of them is an error. What is chosen outside of a training is in
``test_rigour_of_choices.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from sgps.datasets import (
    ROLES,
    DescriptionLibrary,
    ImageRecord,
    StoredDataset,
    encode_png,
    ingest,
)
from sgps.datasets.sources.phantom import PhantomSource
from sgps.synthesizer import GeneratorConfig
from sgps.synthesizer.sealed import read_sealed
from sgps.training import MetaTrainingConfig, MetaTrainingRun
from sgps.training.refit import refit_head
from sgps.training.state import STATE_FORMAT

TEST_ROLE = "novel_test"

Records = list[ImageRecord]


def drawn_lesions() -> Records:
    source = PhantomSource(
        classes=8, images_per_class=9, size=32, novel_val=2, novel_test=2,
        roles={"meta_train": 0.6, "meta_val": 0.4},
    )  # fmt: skip
    return list(source.records())


def noise(record: ImageRecord) -> bytes:
    rng = np.random.default_rng(sum(record.name.encode()))
    return encode_png(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))


def as_drawn(records: Records) -> Records:
    return records


def other_pixels(records: Records) -> Records:
    return [replace(r, read=lambda r=r: noise(r)) if r.role == TEST_ROLE else r for r in records]


def labelled_as_trained_on_and_first(records: Records) -> Records:
    trained = next(r.label for r in records if r.role == "meta_train")
    tested = [replace(r, label=trained) for r in records if r.role == TEST_ROLE]
    return [*tested, *(r for r in records if r.role != TEST_ROLE)]


def labelled_as_validated_on_between(records: Records) -> Records:
    validated = next(r.label for r in records if r.role == "novel_val")
    tested = [replace(r, label=validated) for r in records if r.role == TEST_ROLE]
    others = [r for r in records if r.role != TEST_ROLE]
    return [*others[:30], *tested, *others[30:]]


def without(records: Records) -> Records:
    return [r for r in records if r.role != TEST_ROLE]


POISONS = (
    other_pixels, labelled_as_trained_on_and_first, labelled_as_validated_on_between, without,
)  # fmt: skip


class Arranged:
    """Records as a source."""

    name = "phantom"

    def __init__(self, records: Sequence[ImageRecord]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def records(self) -> Iterator[ImageRecord]:
        yield from self._records


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StoredDataset]:
    return {
        change.__name__: ingest(
            Arranged(change(drawn_lesions())), tmp_path_factory.mktemp("shards")
        )
        for change in (as_drawn, *POISONS)
    }


@pytest.fixture(scope="module")
def describe(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], DescriptionLibrary]:
    """Class descriptions; those of the test classes read as asked."""

    def write(of_test_classes: str) -> DescriptionLibrary:
        folder = tmp_path_factory.mktemp("descriptions")
        roles = {record.label: record.role for record in drawn_lesions()}
        classes = {
            label: {
                "text": of_test_classes if role == TEST_ROLE else f"A lesion: {label}.",
                "source": "drawn",
            }
            for label, role in roles.items()
        }
        (folder / "phantom.yaml").write_text(
            yaml.safe_dump({"dataset": "phantom", "modality": "drawing", "classes": classes})
        )
        return DescriptionLibrary.load(folder)

    return write


def configure(*, task_codes: bool = False, validated_on: str = "novel_val") -> MetaTrainingConfig:
    sizes = GeneratorConfig(
        architecture="test_efficientnet", resolution=32, initial_tap_weights=(0.5, 0.7, 1.0, 1.0),
        whitening_rank=16, text_rank=4, code_width=4, task_width=16, depth=1,
        task_codes=task_codes,
    )  # fmt: skip
    return MetaTrainingConfig(
        generator=sizes, pretrained=False, episodes=2, episodes_per_step=1, max_ways=3,
        max_shots=2, queries=1, splits=2, prior_images=3, validate_every=1, warmup_steps=1,
        validation_episodes=1, validation_roles=(validated_on,), text_dropout=0.0, device="cpu",
    )  # fmt: skip


def train(
    config: MetaTrainingConfig,
    dataset: StoredDataset,
    descriptions: DescriptionLibrary,
    folder: Path,
) -> dict[str, object]:
    """Train, then fit the head anew; return all that came of it, but the digest of the data."""
    run = MetaTrainingRun(config, [dataset], descriptions, folder)
    result = run.go_on()
    again = None
    if not config.generator.task_codes:
        torch.manual_seed(config.seed)  # the random base, when it is loaded again
        again = refit_head(folder, config, [dataset], descriptions, folder / "refitted")
    newest = max(path.stem for path in folder.glob("state-*.json"))
    state = read_sealed(folder, newest, file_format=STATE_FORMAT)
    lineage = json.loads((folder / "generator.json").read_text())["lineage"]
    return {
        "generator": result.generator_sha256,
        "state": state.tensors,
        "progress": state.description["progress"],
        "scores": lineage["validated_on"],
        "trained on": lineage["trained_on"],
        "head fitted anew": again,
    }


def assert_same(left: dict[str, object], right: dict[str, object]) -> None:
    ours, theirs = left.pop("state"), right.pop("state")
    assert left == right
    assert isinstance(ours, dict)
    assert isinstance(theirs, dict)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, int]]:
    """Rows whose bytes were read so far; to read one of role novel_test is an error."""
    read: set[tuple[str, int]] = set()

    def guard(name: str) -> None:
        original = getattr(StoredDataset, name)

        def spy(self: StoredDataset, *arguments: object, **options: object) -> object:
            asked = arguments[1:2] if name == "images" else arguments[:1]
            rows = asked[0] if asked else options.get("indices", options.get("index"))
            wanted = range(len(self)) if rows is None else np.atleast_1d(rows)
            for row in wanted:
                if self.frame["role"][int(row)] == TEST_ROLE:
                    raise PermissionError(f"row {row} is for the final figures")
                read.add((str(self.frame["role"][int(row)]), int(row)))
            return original(self, *arguments, **options)

        monkeypatch.setattr(StoredDataset, name, spy)

    for name in ("images", "pixels", "png_bytes"):
        guard(name)
    return read


def test_the_guard_sees_every_way_of_reading(
    stores: dict[str, StoredDataset], guarded: set[tuple[str, int]]
) -> None:
    dataset = stores["as_drawn"]
    row = int(dataset.frame.index[dataset.frame["role"] == TEST_ROLE][0])
    for read in (
        lambda: dataset.images(16),
        lambda: dataset.images(16, [0, row]),
        lambda: dataset.images(16, indices=[row]),
        lambda: dataset.pixels(row),
        lambda: dataset.png_bytes(index=row),
    ):
        with pytest.raises(PermissionError):
            read()
    assert {role for role, _ in guarded} == {"meta_train", "meta_val", "novel_val"}


@pytest.mark.parametrize("validated_on", ["novel_val", "meta_val"])
@pytest.mark.parametrize("task_codes", [False, True], ids=["one_body", "task_codes"])
def test_training_reads_its_own_roles_and_no_others(
    task_codes: bool,
    validated_on: str,
    stores: dict[str, StoredDataset],
    describe: Callable[[str], DescriptionLibrary],
    guarded: set[tuple[str, int]],
    tmp_path: Path,
) -> None:
    dataset = stores["as_drawn"]
    config = configure(task_codes=task_codes, validated_on=validated_on)
    train(config, dataset, describe("x"), tmp_path)
    roles = dataset.frame["role"]
    expected = {
        (str(role), row) for row, role in roles.items() if role in {"meta_train", validated_on}
    }
    assert guarded == expected
    assert set(roles) == set(ROLES) - {"unassigned"}


def test_training_on_the_test_role_would_be_caught(
    stores: dict[str, StoredDataset],
    describe: Callable[[str], DescriptionLibrary],
    guarded: set[tuple[str, int]],
    tmp_path: Path,
) -> None:
    wrong = configure().model_copy(update={"train_roles": ("meta_train", TEST_ROLE)})
    with pytest.raises(PermissionError):
        train(wrong, stores["as_drawn"], describe("x"), tmp_path)


@pytest.mark.parametrize("poison", POISONS, ids=lambda change: change.__name__)
def test_test_rows_change_no_bit_of_a_generator(
    poison: Callable[[Records], Records],
    stores: dict[str, StoredDataset],
    describe: Callable[[str], DescriptionLibrary],
    tmp_path: Path,
) -> None:
    config = configure()
    clean, poisoned = stores["as_drawn"], stores[poison.__name__]
    assert clean.digest != poisoned.digest
    ours = train(config, clean, describe("A test class."), tmp_path / "clean")
    theirs = train(config, poisoned, describe("Something else, longer."), tmp_path / "poisoned")
    assert_same(ours, theirs)


def test_test_rows_change_no_bit_of_a_generator_with_task_codes(
    stores: dict[str, StoredDataset],
    describe: Callable[[str], DescriptionLibrary],
    tmp_path: Path,
) -> None:
    config = configure(task_codes=True, validated_on="meta_val")
    ours = train(config, stores["as_drawn"], describe("A test class."), tmp_path / "clean")
    poisoned = stores["labelled_as_trained_on_and_first"]
    theirs = train(config, poisoned, describe("Something else."), tmp_path / "poisoned")
    assert_same(ours, theirs)


def test_training_rows_do_change_it(
    stores: dict[str, StoredDataset],
    describe: Callable[[str], DescriptionLibrary],
    tmp_path: Path,
) -> None:
    """What the proofs above compare is not blind."""
    records = drawn_lesions()
    records[0] = replace(records[0], read=lambda: noise(records[0]), role="meta_train")
    other = ingest(Arranged(records), tmp_path / "shards")
    ours = train(configure(), stores["as_drawn"], describe("x"), tmp_path / "clean")
    theirs = train(configure(), other, describe("x"), tmp_path / "other")
    with pytest.raises(AssertionError):
        assert_same(ours, theirs)
