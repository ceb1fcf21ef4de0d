"""The compact form of a classifier is the standalone one, bit for bit, or an error."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from sgps.errors import InputError, IntegrityError, UnknownNameError
from sgps.synthesizer import SynthesizedClassifier, Synthesizer
from sgps.synthesizer.compact import CompactClassifier
from sgps.synthesizer.sealed import write_sealed
from sgps.synthesizer.task import MAX_WAYS

from .conftest import MakeTask, build_hypernetwork, random_images

SHAPES = (1, 2, 1)


@pytest.fixture(scope="module")
def sharing() -> Synthesizer:
    """A generator without task codes: one body for all tasks."""
    return Synthesizer(build_hypernetwork(trained=True, task_codes=False), name="sharing")


@pytest.fixture(params=["codes", "shared body"])
def made(
    request: pytest.FixtureRequest,
    synthesizer: Synthesizer,
    sharing: Synthesizer,
    make_task: MakeTask,
) -> tuple[SynthesizedClassifier, Synthesizer]:
    task = make_task(SHAPES)
    maker = synthesizer if request.param == "codes" else sharing
    return maker.synthesize(task), maker


def altered(synthesizer: Synthesizer, by: float) -> Synthesizer:
    """A generator with other deltas that claims the same digest."""
    hypernetwork = copy.deepcopy(synthesizer.hypernetwork)
    with torch.no_grad():
        for delta in hypernetwork.generator.deltas:
            delta.mul_(1 + by)
    return Synthesizer(hypernetwork, sha256=synthesizer.generator_sha256)


def test_expanded_it_is_the_standalone_form(
    made: tuple[SynthesizedClassifier, Synthesizer], tmp_path: Path
) -> None:
    classifier, synthesizer = made
    size = CompactClassifier.of(classifier, synthesizer).save(tmp_path)
    assert size == sum(path.stat().st_size for path in tmp_path.iterdir())
    expanded = CompactClassifier.load(tmp_path).expand(synthesizer)
    assert expanded.weights_sha256 == classifier.weights_sha256
    assert expanded.description_sha256 == classifier.description_sha256
    images = random_images(3, 5)
    np.testing.assert_array_equal(expanded.logits(images), classifier.logits(images))


def test_loaded_it_is_what_was_saved(
    made: tuple[SynthesizedClassifier, Synthesizer], tmp_path: Path
) -> None:
    compact = CompactClassifier.of(*made)
    compact.save(tmp_path / "first")
    loaded = CompactClassifier.load(tmp_path / "first")
    assert loaded.tensors.keys() == compact.tensors.keys()
    assert all(torch.equal(loaded.tensors[name], compact.tensors[name]) for name in loaded.tensors)
    assert loaded.description["details"] == compact.description["details"]
    assert "influence" in loaded.description["details"]
    loaded.save(tmp_path / "again")
    for name in ("compact.safetensors", "compact.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_one_written_before_tensors_were_packed_is_read(
    made: tuple[SynthesizedClassifier, Synthesizer], tmp_path: Path
) -> None:
    classifier, synthesizer = made
    compact = CompactClassifier.of(classifier, synthesizer)
    facts = compact.description
    write_sealed(tmp_path, "compact", compact.tensors, facts, file_format="sgps-compact-2")
    expanded = CompactClassifier.load(tmp_path).expand(synthesizer)
    assert expanded.weights_sha256 == classifier.weights_sha256
    assert expanded.description_sha256 == classifier.description_sha256


def test_one_packed_otherwise_than_described_is_refused(
    sharing: Synthesizer, make_task: MakeTask, tmp_path: Path
) -> None:
    compact = CompactClassifier.of(sharing.synthesize(make_task(SHAPES)), sharing)
    facts = compact.description
    write_sealed(tmp_path, "compact", compact.tensors, facts, file_format="sgps-compact-3")
    with pytest.raises(IntegrityError, match="packed tensors do not fit their description"):
        CompactClassifier.load(tmp_path)


def test_only_what_the_generator_cannot_make_is_kept(
    synthesizer: Synthesizer, sharing: Synthesizer, make_task: MakeTask
) -> None:
    def kept(classifier: SynthesizedClassifier, by: Synthesizer) -> set[str]:
        names = CompactClassifier.of(classifier, by).tensors
        return {name.removeprefix("kept.") for name in names if name.startswith("kept.")}

    task = make_task(SHAPES)
    head = {"head.centre", "head.scale", "head.weight", "head.bias"}
    assert kept(sharing.synthesize(task), sharing) == head
    moved = kept(synthesizer.synthesize(task), synthesizer) - head
    assert moved
    assert all(name.endswith(("running_mean", "running_var")) for name in moved)


def test_the_codes_stay_with_the_standalone_form(
    synthesizer: Synthesizer, make_task: MakeTask, tmp_path: Path
) -> None:
    classifier = synthesizer.synthesize(make_task(SHAPES))
    classifier.save(tmp_path)
    loaded = SynthesizedClassifier.load(tmp_path)
    assert loaded.codes.keys() == classifier.codes.keys() == {"codes_LR", "gates_L", "mixing_L"}
    assert all(torch.equal(loaded.codes[name], classifier.codes[name]) for name in loaded.codes)
    assert loaded.weights_sha256 == classifier.weights_sha256
    assert loaded.description_sha256 == classifier.description_sha256


def test_another_generator_is_refused(
    made: tuple[SynthesizedClassifier, Synthesizer], untrained: object
) -> None:
    classifier, synthesizer = made
    other = Synthesizer(synthesizer.hypernetwork, name="other", sha256="0" * 64)
    compact = CompactClassifier.of(classifier, synthesizer)
    for attempt in (
        lambda: compact.expand(other),
        lambda: CompactClassifier.of(classifier, other),
    ):
        with pytest.raises(IntegrityError, match=r"'other' .* did not make this classifier"):
            attempt()


def test_other_weights_under_the_same_digest_are_refused(
    made: tuple[SynthesizedClassifier, Synthesizer],
) -> None:
    classifier, synthesizer = made
    compact = CompactClassifier.of(classifier, synthesizer)
    for exact in (True, False):
        with pytest.raises(IntegrityError, match="the generator makes other weights here"):
            compact.expand(altered(synthesizer, 0.5), exact=exact)


def test_rounding_is_accepted_where_it_is_allowed(
    made: tuple[SynthesizedClassifier, Synthesizer],
) -> None:
    classifier, synthesizer = made
    compact = CompactClassifier.of(classifier, synthesizer)
    rounding = altered(synthesizer, 1e-6)
    with pytest.raises(IntegrityError, match="other weights"):
        compact.expand(rounding)
    expanded = compact.expand(rounding, exact=False)
    assert expanded.weights_sha256 != classifier.weights_sha256
    images = random_images(3, 2)
    np.testing.assert_allclose(expanded.logits(images), classifier.logits(images), atol=1e-3)


def test_codes_that_were_not_kept_are_missed(synthesizer: Synthesizer, make_task: MakeTask) -> None:
    whole = synthesizer.synthesize(make_task(SHAPES))
    bare = SynthesizedClassifier.from_tensors(whole.tensors(), whole.description())
    with pytest.raises(InputError, match="carries no codes"):
        CompactClassifier.of(bare, synthesizer)


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("compact.safetensors", r"compact\.safetensors does not match the digest"),
        ("compact.json", r"compact\.json does not match its seal"),
    ],
)
def test_an_altered_file_is_refused(
    sharing: Synthesizer, make_task: MakeTask, tmp_path: Path, file: str, problem: str
) -> None:
    CompactClassifier.of(sharing.synthesize(make_task(SHAPES)), sharing).save(tmp_path)
    path = tmp_path / file
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=problem):
        CompactClassifier.load(tmp_path)


def test_a_standalone_folder_is_no_compact_one(
    sharing: Synthesizer, make_task: MakeTask, tmp_path: Path
) -> None:
    sharing.synthesize(make_task(SHAPES)).save(tmp_path)
    with pytest.raises(UnknownNameError, match="there is no file"):
        CompactClassifier.load(tmp_path)


@pytest.mark.parametrize("shots", [1, 5])
def test_with_the_shipped_generator_twenty_classes_take_half_a_megabyte(
    make_task: MakeTask, tmp_path: Path, shots: int
) -> None:
    shipped = Synthesizer.load("default", device="cpu")
    classifier = shipped.synthesize(make_task((shots,) * MAX_WAYS))
    compact = CompactClassifier.of(classifier, shipped)
    assert compact.save(tmp_path) <= 500_000
    expanded = CompactClassifier.load(tmp_path).expand(shipped)
    assert expanded.weights_sha256 == classifier.weights_sha256
    assert expanded.description_sha256 == classifier.description_sha256
