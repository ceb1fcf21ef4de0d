from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sgps.encoders._torchvision_operators import import_timm
from sgps.errors import InputError, IntegrityError, StoreError, UnknownNameError
from sgps.synthesizer import ClassSupport, SynthesizedClassifier, Synthesizer, Task
from sgps.synthesizer.head import LinearHead
from sgps.synthesizer.tapped_network import LAST

from .conftest import RESOLUTION, MakeTask, random_images


@pytest.fixture(scope="module")
def classifier(synthesizer: Synthesizer) -> SynthesizedClassifier:
    task = Task("t", tuple(ClassSupport(f"c{i}", random_images(i, 2)) for i in range(3)))
    return synthesizer.synthesize(task)


def test_probabilities_are_a_distribution(classifier: SynthesizedClassifier) -> None:
    probabilities = classifier.predict_proba(random_images(5, 4))
    assert probabilities.shape == (4, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert (probabilities >= 0).all()


def test_takes_images_of_any_size(classifier: SynthesizedClassifier) -> None:
    mixed = [random_images(1, 1, side)[0] for side in (20, 64, 131)]
    assert classifier.predict_proba(mixed).shape == (3, 3)


def test_a_batch_equals_a_loop(classifier: SynthesizedClassifier) -> None:
    images = random_images(6, 5)
    one_by_one = np.concatenate([classifier.logits([image]) for image in images])
    np.testing.assert_allclose(classifier.logits(images, batch=2), one_by_one, atol=1e-4)


def test_no_images_is_an_error(classifier: SynthesizedClassifier) -> None:
    with pytest.raises(InputError, match="no image to predict"):
        classifier.predict_proba([])


def test_float_images_are_an_error(classifier: SynthesizedClassifier) -> None:
    with pytest.raises(InputError, match="image 0: float32"):
        classifier.predict_proba(np.zeros((1, 8, 8, 3), dtype=np.float32))


def test_saved_and_loaded_is_the_same(classifier: SynthesizedClassifier, tmp_path: Path) -> None:
    classifier.save(tmp_path / "c")
    loaded = SynthesizedClassifier.load(tmp_path / "c")
    assert loaded.weights_sha256 == classifier.weights_sha256
    assert loaded.class_names == classifier.class_names
    assert loaded.details == json.loads(json.dumps(classifier.details))
    images = random_images(7, 3)
    np.testing.assert_array_equal(loaded.logits(images), classifier.logits(images))
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [
        "classifier.json",
        "classifier.safetensors",
    ]


def test_the_body_loads_into_timm_strictly(classifier: SynthesizedClassifier) -> None:
    network = import_timm().create_model(classifier.architecture, num_classes=0)
    network.load_state_dict(classifier.body_state_dict(), strict=True)


def test_with_the_last_features_alone_it_is_timms_own_classifier(
    classifier: SynthesizedClassifier,
) -> None:
    width = 1280
    random = torch.Generator().manual_seed(0)
    single = SynthesizedClassifier(
        {k: v for k, v in classifier.body_state_dict().items() if not k.endswith("tracked")},
        LinearHead(
            torch.randn(width, generator=random),
            torch.rand(width, generator=random) * 0.01,
            torch.randn(3, width, generator=random),
            torch.randn(3, generator=random),
            unit_rows=False,
        ),
        class_names=classifier.class_names,
        architecture=classifier.architecture,
        resolution=RESOLUTION,
        taps=(LAST,),
        details={},
    )
    network = import_timm().create_model(single.architecture, num_classes=3).eval()
    network.load_state_dict(single.state_dict(), strict=True)
    images = random_images(8, 2)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = network((pixels - 0.5) / 0.5)
    np.testing.assert_allclose(single.logits(images), expected.numpy(), atol=1e-4)


def test_an_altered_weight_is_refused(classifier: SynthesizedClassifier, tmp_path: Path) -> None:
    classifier.save(tmp_path)
    path = tmp_path / "classifier.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"classifier\.safetensors does not match the digest"):
        SynthesizedClassifier.load(tmp_path)


def test_swapped_class_names_are_refused(classifier: SynthesizedClassifier, tmp_path: Path) -> None:
    classifier.save(tmp_path)
    path = tmp_path / "classifier.json"
    path.write_text(path.read_text().replace('"c0"', '"cX"'))
    with pytest.raises(IntegrityError, match=r"classifier\.json does not match its seal"):
        SynthesizedClassifier.load(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("classifier.json", "{", "no readable JSON"),
        ("classifier.json", "{}", "not of the format"),
        ("classifier.safetensors", "foreign", "no readable safetensors"),
    ],
)
def test_foreign_files_are_refused(
    classifier: SynthesizedClassifier, tmp_path: Path, file: str, content: str, problem: str
) -> None:
    classifier.save(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(IntegrityError, match=problem):
        SynthesizedClassifier.load(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="there is no file"):
        SynthesizedClassifier.load(tmp_path / "none")


def test_an_unwritable_folder(classifier: SynthesizedClassifier, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        classifier.save(tmp_path / "file" / "folder")


def test_same_request_same_bits_in_any_order(synthesizer: Synthesizer, make_task: MakeTask) -> None:
    task = make_task((2, 1, 3))
    turned = Task(
        "t",
        tuple(
            ClassSupport(support.name, support.images[::-1], support.description)
            for support in task.classes
        ),
    )
    first, second = synthesizer.synthesize(task), synthesizer.synthesize(turned)
    assert first.weights_sha256 == second.weights_sha256


def test_class_order_permutes_the_outputs(synthesizer: Synthesizer, make_task: MakeTask) -> None:
    task = make_task((2, 1, 3))
    order = (2, 0, 1)
    turned = Task("t", tuple(task.classes[number] for number in order))
    images = random_images(11, 4)
    expected = synthesizer.synthesize(task).logits(images)[:, order]
    actual = synthesizer.synthesize(turned)
    assert actual.class_names == tuple(task.class_names[number] for number in order)
    np.testing.assert_allclose(actual.logits(images), expected, atol=1e-5)
