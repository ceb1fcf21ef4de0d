"""The classes that a trained generator knows: which images they are made of, and when of none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sgps.datasets import ImageRecord, StoredDataset, ingest
from sgps.datasets.sources.phantom import PhantomSource
from sgps.errors import InputError, UnknownNameError
from sgps.synthesizer import ClassSupport, GeneratorConfig, Hypernetwork, Synthesizer, Task
from sgps.synthesizer.checkpoint import load_generator, save_generator
from sgps.synthesizer.known_classes import KnownClasses
from sgps.training import MetaTrainingConfig, write_known_classes

CPU = torch.device("cpu")
MIN_GROUPS = 3
CONFIG = MetaTrainingConfig(
    generator=GeneratorConfig(resolution=32), max_shots=MIN_GROUPS - 1, device="cpu", seed=5
)  # fmt: skip

Datasets = dict[str, StoredDataset]


class Drawn:
    """Drawn lesions; the first two images of a class are of one, the last two not trained on.

    One class of the dataset ``first`` has two lesions to train on: one too few.
    """

    def __init__(self, name: str, *, seed: int, role: str = "meta_train") -> None:
        self.name = name
        self._role = role
        self._source = PhantomSource(name, classes=4, images_per_class=7, size=48, seed=seed)
        self._scarce = self._source.classes[1] if name == "first" else ""

    def __len__(self) -> int:
        return len(self._source)

    def records(self) -> Iterator[ImageRecord]:
        for record in self._source.records():
            number = int(record.group.rsplit("-", 1)[1])
            left_out = number >= (3 if record.label == self._scarce else 5)
            role = "meta_val" if left_out and self._role == "meta_train" else self._role
            group = f"{record.label}-{max(number, 1)}"
            yield replace(record, group=group, role=role)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Datasets:
    root = tmp_path_factory.mktemp("shards")
    sources = (
        Drawn("second", seed=2),
        Drawn("judge", seed=3, role="novel_val"),
        Drawn("first", seed=1),
    )
    return {source.name: ingest(source, root) for source in sources}


@pytest.fixture(scope="module")
def trained(datasets: Datasets) -> Hypernetwork:
    """Moved deltas on real weights: a generator of random ones cannot be loaded again."""
    hypernetwork = Hypernetwork.create(CONFIG.generator)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for delta in hypernetwork.generator.deltas:
            delta.add_(0.02 * torch.randn(delta.shape, generator=random))
    return hypernetwork


@pytest.fixture
def folder(trained: Hypernetwork, datasets: Datasets, tmp_path: Path) -> Path:
    """The generator's checkpoint, as its training would have left it."""
    lineage = {
        "config": CONFIG.record(),
        "datasets": {name: dataset.digest for name, dataset in datasets.items()},
        "trained_on": ["second", "first"],
    }
    save_generator(trained, tmp_path, name="g", text_encoder="minilm", lineage=lineage)
    return tmp_path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Rows that were read so far, by dataset."""
    rows: dict[str, list[int]] = {}
    original = StoredDataset.images

    def spy(self: StoredDataset, size: int, indices: Any = None, **options: Any) -> Any:
        wanted = range(len(self)) if indices is None else indices
        rows.setdefault(self.name, []).extend(int(row) for row in wanted)
        return original(self, size, indices, **options)

    monkeypatch.setattr(StoredDataset, "images", spy)
    return rows


def one_image_a_lesion(dataset: StoredDataset) -> dict[str, list[int]]:
    """Rows of each class that is trained on, by label."""
    frame = dataset.frame[dataset.frame["role"] == "meta_train"]
    first = frame.sort_values(["label", "group", "file"]).drop_duplicates(["label", "group"])
    by_label = {str(label): list(rows.index) for label, rows in first.groupby("label")}
    return {label: rows for label, rows in by_label.items() if len(rows) >= MIN_GROUPS}


def features_of(folder: Path) -> Callable[[StoredDataset, int], np.ndarray]:
    """What the body of any classifier of this generator makes of one image."""
    grey = [np.full((8, 8, 3), level, np.uint8) for level in (0, 255)]
    task = Task("any", tuple(ClassSupport(f"grey {level[0, 0, 0]}", (level,)) for level in grey))
    scorer = Synthesizer.load(folder, device="cpu").synthesize(task).scorer

    def features(dataset: StoredDataset, row: int) -> np.ndarray:
        image = torch.from_numpy(dataset.images(CONFIG.generator.resolution, [row]))
        with torch.inference_mode():
            taps = scorer.network(scorer.normalise(image))
        return np.hstack([tap.numpy()[0] for tap in taps])

    return features


def write(folder: Path, datasets: Datasets, **options: Any) -> KnownClasses | None:
    return write_known_classes(folder, list(datasets.values()), device=CPU, **options)


def known_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("known_classes.*")}


def with_config(folder: Path, trained: Hypernetwork, **changes: Any) -> None:
    """The same generator, as if its training had been another one."""
    lineage = load_generator(folder)[1]["lineage"]
    lineage["config"] |= changes
    save_generator(trained, folder, name="g", text_encoder="minilm", lineage=lineage)


def test_names_and_means_are_those_of_the_training_classes(
    folder: Path, datasets: Datasets
) -> None:
    seen: list[tuple[int, int]] = []
    backwards = dict(reversed(datasets.items()))
    known = write(folder, backwards, progress=lambda *counts: seen.append(counts))
    assert seen == [(1, 2), (2, 2)]
    assert sorted(known_files(folder)) == ["known_classes.json", "known_classes.safetensors"]
    features = features_of(folder)
    names, means = [], []
    for dataset in (datasets["second"], datasets["first"]):  # as they were trained on
        for label, rows in one_image_a_lesion(dataset).items():
            names.append(f"{dataset.name}: {label}")
            means.append(np.mean([features(dataset, row) for row in rows], axis=0))
    assert len(names) == 4 + 3
    assert known is not None
    assert known.names == tuple(names)
    np.testing.assert_allclose(known.means_CD.numpy(), np.stack(means), atol=1e-4, rtol=1e-3)
    loaded = Synthesizer.load(folder, device="cpu")
    assert known.generator_sha256 == loaded.generator_sha256
    assert loaded.known_classes is not None
    assert loaded.known_classes.names == known.names
    assert torch.equal(loaded.known_classes.means_CD, known.means_CD.half().float())


def test_no_image_of_another_role_is_read(
    folder: Path, datasets: Datasets, read: dict[str, list[int]]
) -> None:
    write(folder, datasets)
    assert set(read) == {"first", "second"}
    for name, rows in read.items():
        expected = [row for kept in one_image_a_lesion(datasets[name]).values() for row in kept]
        assert sorted(rows) == sorted(expected)


def test_no_more_images_than_the_priors_were_fitted_to(
    folder: Path, trained: Hypernetwork, datasets: Datasets, read: dict[str, list[int]]
) -> None:
    with_config(folder, trained, prior_images=2)
    known = write(folder, datasets)
    rows_read = {name: list(rows) for name, rows in read.items()}
    features = features_of(folder)
    assert known is not None
    for name, mean_D in zip(known.names, known.means_CD.numpy(), strict=True):
        dataset, label = name.split(": ")
        allowed = one_image_a_lesion(datasets[dataset])[label]
        rows = [row for row in rows_read[dataset] if row in allowed]
        assert len(rows) == len(set(rows)) == 2
        expected = np.mean([features(datasets[dataset], row) for row in rows], axis=0)
        np.testing.assert_allclose(mean_D, expected, atol=1e-4, rtol=1e-3)
    assert sum(map(len, rows_read.values())) == 2 * len(known.names)


def test_the_same_again_to_the_byte_and_the_seed_decides_which(
    folder: Path, trained: Hypernetwork, datasets: Datasets
) -> None:
    written = []
    for seed in (5, 5, 6):
        with_config(folder, trained, prior_images=2, seed=seed)
        write(folder, datasets)
        written.append(known_files(folder))
        for name in written[-1]:
            (folder / name).unlink()
    assert written[0] == written[1] != written[2]


@pytest.mark.parametrize("missing", [("first",), ("first", "second")], ids=str)
def test_a_dataset_that_is_not_here(
    folder: Path, datasets: Datasets, read: dict[str, list[int]], missing: tuple[str, ...]
) -> None:
    here = {name: dataset for name, dataset in datasets.items() if name not in missing}
    with pytest.raises(InputError, match=f"are not here: {', '.join(missing)};"):
        write(folder, here)
    assert not known_files(folder)
    assert not read


def test_a_dataset_that_is_another_one(
    folder: Path, datasets: Datasets, read: dict[str, list[int]], tmp_path: Path
) -> None:
    other = ingest(Drawn("first", seed=9), tmp_path / "elsewhere")
    with pytest.raises(InputError, match="not those of the training: first;"):
        write(folder, datasets | {"first": other})
    assert not known_files(folder)
    assert not read


def test_what_it_was_validated_on_need_not_be_here(folder: Path, datasets: Datasets) -> None:
    assert write(folder, {name: datasets[name] for name in ("first", "second")}) is not None


def test_what_is_there_already_stays_as_it_is(folder: Path) -> None:
    sha256 = str(load_generator(folder)[1]["tensors_sha256"])
    KnownClasses(("elsewhere: naevus",), torch.ones(1, 8), sha256).save(folder)
    before = known_files(folder)
    found = write(folder, {})
    assert found is not None
    assert found.names == ("elsewhere: naevus",)
    assert known_files(folder) == before


@pytest.mark.parametrize("left", ["both", "json", "safetensors"])
def test_those_of_another_generator_or_half_of_a_pair_are_written_anew(
    folder: Path, datasets: Datasets, left: str
) -> None:
    KnownClasses(("elsewhere: naevus",), torch.ones(1, 8), "ab" * 32).save(folder)
    for path in folder.glob("known_classes.*"):
        if left not in ("both", path.suffix[1:]):
            path.unlink()
    found = write(folder, datasets)
    assert found is not None
    assert "elsewhere: naevus" not in found.names
    read_again = KnownClasses.load(folder, found.generator_sha256)
    assert read_again is not None
    assert read_again.sha256 == found.sha256


def test_a_lineage_without_a_training_is_refused(
    trained: Hypernetwork, datasets: Datasets, tmp_path: Path
) -> None:
    save_generator(trained, tmp_path, name="g", text_encoder="minilm", lineage={})
    with pytest.raises(InputError, match="says nothing of a training"):
        write(tmp_path, datasets)
    assert not known_files(tmp_path)


def test_a_generator_that_writes_a_body_a_task_knows_none(
    datasets: Datasets, tmp_path: Path
) -> None:
    hypernetwork = Hypernetwork.create(GeneratorConfig(resolution=32, task_codes=True))
    save_generator(hypernetwork, tmp_path, name="codes", text_encoder="minilm", lineage={})
    assert write(tmp_path, datasets) is None
    assert not known_files(tmp_path)


def test_no_generator_at_all(datasets: Datasets, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"generator\.json"):
        write(tmp_path, datasets)
