"""What a classifier keeps of known classes, on its way from synthesis to disk and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sgps.errors import IntegrityError
from sgps.synthesizer import (
    ClassSupport,
    GeneratorConfig,
    Hypernetwork,
    SynthesizedClassifier,
    Synthesizer,
    Task,
)
from sgps.synthesizer.checkpoint import save_generator
from sgps.synthesizer.compact import CompactClassifier
from sgps.synthesizer.known_classes import KnownClasses
from sgps.synthesizer.resemblance import TOLD_CLASSES, Resemblance
from sgps.synthesizer.scoring import MARGIN_WEIGHT, images_to_tensor

from .conftest import KNOWN_CLASSES, RESOLUTION, MakeTask, random_images
from .same_classifiers import assert_same_assessment, assert_the_same

SHAPES = (1, 2, 1)


@pytest.fixture
def classifier(knowing: Synthesizer, make_task: MakeTask) -> SynthesizedClassifier:
    return knowing.synthesize(make_task(SHAPES))


def test_an_assessment_is_probabilities_and_margins_of_the_rows(
    classifier: SynthesizedClassifier,
) -> None:
    images = random_images(5, 6)
    found = classifier.assess(images)
    np.testing.assert_allclose(found.probs_QN, classifier.predict_proba(images), atol=1e-6)
    assert classifier.resemblance is not None
    assert len(classifier.resemblance.names) == KNOWN_CLASSES
    margin_Q, index_Q = classifier.resemblance.margins(classifier.rows(images))
    np.testing.assert_array_equal(found.margin_Q, margin_Q.numpy())
    assert found.resembles_Q == tuple(classifier.resemblance.names[i] for i in index_Q.tolist())
    assert found.familiarity_Q is not None
    assert found.familiarity_Q.dtype == np.float64
    expected = found.probs_QN.max(axis=1) + MARGIN_WEIGHT * margin_Q.numpy()
    np.testing.assert_allclose(found.familiarity_Q, expected, atol=1e-6)


def assert_same_tensors(one: Resemblance, other: Resemblance) -> None:
    assert one.tensors().keys() == other.tensors().keys()
    assert all(torch.equal(one.tensors()[name], tensor) for name, tensor in other.tensors().items())


def test_rows_are_what_the_head_makes_its_logits_of(classifier: SynthesizedClassifier) -> None:
    images = random_images(5, 3)
    rows_QD = classifier.rows(images)
    assert rows_QD.device.type == "cpu"
    np.testing.assert_allclose(rows_QD.norm(dim=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        classifier.head.scores(rows_QD).numpy(), classifier.logits(images), atol=1e-5
    )


def test_images_of_a_known_class_are_foreign_and_those_of_the_support_at_home(
    classifier: SynthesizedClassifier, backdrop: tuple[np.ndarray, ...], make_task: MakeTask
) -> None:
    assert classifier.resemblance is not None
    theirs = classifier.assess(backdrop)
    assert theirs.margin_Q is not None
    assert theirs.resembles_Q == classifier.resemblance.names
    support = [pixels for given in make_task(SHAPES).classes for pixels in given.images]
    ours = classifier.assess(support).margin_Q
    assert ours is not None
    assert theirs.margin_Q.max() < ours.min()


def test_where_no_class_is_known_there_is_no_margin(
    ignorant: Synthesizer, make_task: MakeTask
) -> None:
    classifier = ignorant.synthesize(make_task(SHAPES))
    assert classifier.resemblance is None
    assert "foreign_margin" not in classifier.details
    images = random_images(5, 2)
    found = classifier.assess(images)
    np.testing.assert_allclose(found.probs_QN, classifier.predict_proba(images), atol=1e-6)
    assert found.margin_Q is found.resembles_Q is found.familiarity_Q is None


def test_from_where_on_an_image_is_foreign(knowing: Synthesizer, make_task: MakeTask) -> None:
    """An image with a twin in its class is described by the twin: its margin is the twin's own."""
    first, second = make_task((1, 1)).classes
    twins = ClassSupport(first.name, first.images * 2, first.description)
    classifier = knowing.synthesize(Task("t", (twins, second)))
    assert classifier.resemblance is not None
    [pixels] = first.images
    views = images_to_tensor([pixels, pixels[:, ::-1], pixels[::-1]], RESOLUTION)
    scorer = classifier.scorer
    with torch.inference_mode():
        taps = scorer.network(scorer.normalise(views))
    row_1D = classifier.head.features(tuple(tap.mean(dim=0, keepdim=True) for tap in taps))
    expected = float(classifier.resemblance.margins(row_1D)[0])
    assert classifier.details["foreign_margin"] == pytest.approx(expected, abs=2e-3)
    alone = knowing.synthesize(Task("t", (first, second)))
    assert alone.details["foreign_margin"] is None


def test_saved_and_loaded_is_the_same(classifier: SynthesizedClassifier, tmp_path: Path) -> None:
    classifier.save(tmp_path)
    loaded = SynthesizedClassifier.load(tmp_path)
    assert classifier.resemblance is not None
    assert loaded.resemblance is not None
    assert loaded.resemblance.names == classifier.resemblance.names
    assert_same_tensors(loaded.resemblance, classifier.resemblance)
    assert loaded.weights_sha256 == classifier.weights_sha256
    assert loaded.description_sha256 == classifier.description_sha256
    written = json.loads((tmp_path / "classifier.json").read_text())
    assert written["seal"] == classifier.description_sha256
    images = random_images(7, 3)
    assert_same_assessment(loaded.assess(images), classifier.assess(images))


def test_an_altered_name_of_a_known_class_is_refused(
    classifier: SynthesizedClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path)
    path = tmp_path / "classifier.json"
    path.write_text(path.read_text().replace('"drawn: ', '"drown: '))
    with pytest.raises(IntegrityError, match="does not match its seal"):
        SynthesizedClassifier.load(tmp_path)


def test_the_weights_know_nothing_of_known_classes_and_the_description_does(
    knowing: Synthesizer, ignorant: Synthesizer, make_task: MakeTask
) -> None:
    ours, bare = (maker.synthesize(make_task(SHAPES)) for maker in (knowing, ignorant))
    assert ours.weights_sha256 == bare.weights_sha256
    ours.details = dict(bare.details)
    assert ours.description_sha256 != bare.description_sha256
    ours.resemblance = None
    assert ours.description_sha256 == bare.description_sha256


def test_a_folder_written_before_there_were_known_classes(
    ignorant: Synthesizer, make_task: MakeTask, tmp_path: Path
) -> None:
    """Its description and tensors hold what they always held, and load as they are."""
    bare = ignorant.synthesize(make_task(SHAPES))
    bare.save(tmp_path)
    written = json.loads((tmp_path / "classifier.json").read_text())
    assert set(written) == {
        "architecture", "centres", "class_names", "details", "format", "resolution", "seal", "taps",
        "tensors_sha256", "unit_rows",
    }  # fmt: skip
    assert written["tensors_sha256"] == bare.weights_sha256
    loaded = SynthesizedClassifier.load(tmp_path)
    assert loaded.resemblance is None
    assert loaded.assess(random_images(7, 1)).margin_Q is None


def former(classifier: SynthesizedClassifier) -> SynthesizedClassifier:
    """A classifier as they were made before there was a discriminant."""
    assert classifier.resemblance is not None
    names = classifier.resemblance.names[:2]
    classifier.resemblance = Resemblance(
        classifier.resemblance.own_ND, -classifier.resemblance.own_ND[:2], names, None
    )
    return classifier


def test_what_was_made_before_the_discriminant_is_read_and_sealed_as_it_was(
    classifier: SynthesizedClassifier, knowing: Synthesizer, tmp_path: Path
) -> None:
    old = former(classifier)
    old.save(tmp_path)
    written = json.loads((tmp_path / "classifier.json").read_text())
    assert written["format"] == "sgps-classifier-1"
    loaded = SynthesizedClassifier.load(tmp_path)
    assert loaded.description_sha256 == written["seal"]
    assert "resemblance.weight" in loaded.beside()
    images = random_images(7, 3)
    assert_same_assessment(loaded.assess(images), old.assess(images))
    compact = CompactClassifier.of(loaded, knowing)
    assert_the_same(compact.expand(knowing), old)


def test_directions_and_names_that_do_not_match_are_refused(
    classifier: SynthesizedClassifier,
) -> None:
    description = classifier.description()
    tensors = classifier.tensors() | classifier.beside()
    for changes in ({"known_classes": ["drawn: 1"]}, {"class_names": ["a", "b"]}):
        with pytest.raises(IntegrityError, match="known classes are named"):
            SynthesizedClassifier.from_tensors(tensors, description | changes)


def test_no_two_classifiers_hold_the_same_memory(knowing: Synthesizer, make_task: MakeTask) -> None:
    first = knowing.synthesize(make_task(SHAPES))
    before = {name: tensor.clone() for name, tensor in first.beside().items()}
    for tensor in first.beside().values():
        tensor.zero_()
    second = knowing.synthesize(make_task(SHAPES)).beside()
    assert all(torch.equal(second[name], tensor) for name, tensor in before.items())


def test_the_order_of_images_and_classes(knowing: Synthesizer, make_task: MakeTask) -> None:
    task = make_task((2, 1, 3))
    turned = [
        ClassSupport(support.name, support.images[::-1], support.description)
        for support in task.classes
    ]
    order = (2, 0, 1)
    images = random_images(11, 4)
    first = knowing.synthesize(task)
    same = knowing.synthesize(Task("t", tuple(turned)))
    other = knowing.synthesize(Task("t", tuple(turned[number] for number in order)))
    assert first.resemblance is not None
    assert same.resemblance is not None
    assert other.resemblance is not None
    assert_same_tensors(same.resemblance, first.resemblance)
    assert_same_tensors(other.resemblance, first.resemblance.reordered(torch.tensor(order)))
    assert other.resemblance.names == same.resemblance.names == first.resemblance.names
    for fact in ("foreign_margin", "nearest_known_classes"):
        assert other.details[fact] == first.details[fact]
    assert len(first.details["nearest_known_classes"]) == TOLD_CLASSES
    found, expected = other.assess(images), first.assess(images)
    assert found.margin_Q is not None
    assert expected.margin_Q is not None
    np.testing.assert_allclose(found.margin_Q, expected.margin_Q, atol=1e-6)
    np.testing.assert_allclose(found.probs_QN, expected.probs_QN[:, order], atol=1e-5)


def test_a_synthesizer_reads_them_beside_its_generator(tmp_path: Path) -> None:
    hypernetwork = Hypernetwork.create(GeneratorConfig(resolution=32))
    digest = save_generator(hypernetwork, tmp_path, name="g", text_encoder="minilm", lineage={})
    assert Synthesizer.load(tmp_path, device="cpu").known_classes is None
    width = hypernetwork.generator.head_priors.basis_RD.shape[1]
    written = KnownClasses(("a", "b"), torch.zeros(2, width), digest)
    written.save(tmp_path)
    found = Synthesizer.load(tmp_path, device="cpu").known_classes
    assert found is not None
    assert (found.names, found.sha256) == (written.names, written.sha256)
    KnownClasses(("a", "b"), torch.zeros(2, width), "cd" * 32).save(tmp_path)
    with pytest.raises(IntegrityError, match="belong to generator cdcdcdcdcdcd"):
        Synthesizer.load(tmp_path, device="cpu")


def test_those_of_another_width_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    hypernetwork = Hypernetwork.create(GeneratorConfig(resolution=32))
    digest = save_generator(hypernetwork, tmp_path, name="g", text_encoder="minilm", lineage={})
    KnownClasses(("a",), torch.zeros(1, 7), digest).save(tmp_path)
    with pytest.raises(IntegrityError, match="known classes of 7 features"):
        Synthesizer.load(tmp_path, device="cpu")


@pytest.mark.parametrize("generator", ["default", "open"])
def test_the_shipped_generators_know_classes(generator: str, make_task: MakeTask) -> None:
    shipped = Synthesizer.load(generator, device="cpu")
    assert shipped.known_classes is not None
    names = shipped.known_classes.names
    assert len(names) == len(set(names)) > TOLD_CLASSES
    datasets = {name.split(": ", 1)[0] for name in names}
    assert datasets == set(shipped.lineage["trained_on"])
    assert shipped.known_classes.means_CD.isfinite().all()
    classifier = shipped.synthesize(make_task((2, 2)))
    assert np.isfinite(classifier.assess(random_images(0, 2)).margin_Q).all()


def test_directions_of_other_classes_than_those_named_are_refused(
    classifier: SynthesizedClassifier,
) -> None:
    tensors = classifier.tensors() | classifier.beside()
    described = classifier.description()
    fewer = described | {"known_classes": described["known_classes"][1:]}
    for other in (fewer, {k: v for k, v in described.items() if k != "known_classes"}):
        with pytest.raises(IntegrityError, match="directions of others are kept"):
            SynthesizedClassifier.from_tensors(tensors, other)


def test_tensors_alone_make_a_classifier_that_knows_no_others(
    classifier: SynthesizedClassifier,
) -> None:
    bare = SynthesizedClassifier.from_tensors(classifier.tensors(), classifier.description())
    assert bare.resemblance is None
    assert bare.weights_sha256 == classifier.weights_sha256
