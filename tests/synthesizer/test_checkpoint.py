from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sgps.errors import InputError, IntegrityError, UnknownNameError
from sgps.synthesizer import Hypernetwork, Synthesizer
from sgps.synthesizer.checkpoint import (
    find_generator,
    load_generator,
    save_generator,
    shipped_generators,
)
from sgps.synthesizer.synthesizer import choose_device

from .conftest import MakeTask, random_images


def test_round_trip_in_half_precision(trained: Hypernetwork, tmp_path: Path) -> None:
    digest = save_generator(trained, tmp_path, name="g", text_encoder="minilm", lineage={"seed": 3})
    torch.manual_seed(0)  # the random base of `trained`
    loaded, description = load_generator(tmp_path, pretrained=False)
    assert description["name"] == "g"
    assert description["tensors_sha256"] == digest
    assert description["lineage"] == {"seed": 3}
    ours = trained.generator.state_dict()
    for key, tensor in loaded.generator.state_dict().items():
        torch.testing.assert_close(tensor, ours[key], atol=1e-3, rtol=1e-3)


def test_another_base_is_refused(trained: Hypernetwork, tmp_path: Path) -> None:
    save_generator(trained, tmp_path, name="g", text_encoder="minilm", lineage={})
    torch.manual_seed(1)
    with pytest.raises(IntegrityError, match="not those this generator was trained on"):
        load_generator(tmp_path, pretrained=False)


def test_an_altered_generator_is_refused(trained: Hypernetwork, tmp_path: Path) -> None:
    save_generator(trained, tmp_path, name="g", text_encoder="minilm", lineage={})
    path = tmp_path / "generator.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"generator\.safetensors"):
        load_generator(tmp_path, pretrained=False)


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="there is no generator 'no-such'"):
        Synthesizer.load("no-such")
    with pytest.raises(UnknownNameError):
        find_generator(tmp_path)


def test_unknown_device() -> None:
    with pytest.raises(InputError, match="expected auto, cpu or cuda"):
        choose_device("tpu")


def test_the_shipped_default_works(make_task: MakeTask) -> None:
    assert "default" in shipped_generators()
    synthesizer = Synthesizer.load("default", device="cpu")
    classifier = synthesizer.synthesize(make_task((1, 2)))
    assert classifier.predict_proba(random_images(0, 2)).shape == (2, 2)


def test_the_shipped_default_writes_every_tensor(make_task: MakeTask) -> None:
    synthesizer = Synthesizer.load("default", device="cpu")
    first = synthesizer.synthesize(make_task((1, 2), seed=1)).state_dict()
    second = synthesizer.synthesize(make_task((1, 2), seed=2)).state_dict()
    alike = [
        name
        for name in first
        if not name.endswith(("num_batches_tracked", "head.bias"))
        and torch.equal(first[name], second[name])
    ]
    assert alike == []
