from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from sgps.errors import InputError, IntegrityError, UnknownNameError
from sgps.synthesizer import GeneratorConfig, Hypernetwork, Synthesizer
from sgps.synthesizer.checkpoint import (
    GENERATOR_FORMAT,
    load_generator,
    save_generator,
)
from sgps.synthesizer.generator_folder import (
    GENERATOR_STEM,
    find_generator,
    shipped_generators,
)
from sgps.synthesizer.sealed import digest_tensors, write_sealed
from sgps.synthesizer.synthesizer import choose_device
from sgps.synthesizer.weight_plan import Rule

from .conftest import RESOLUTION, MakeTask, random_images


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


def test_the_fitted_priors_are_kept(shared: Hypernetwork, tmp_path: Path) -> None:
    save_generator(shared, tmp_path, name="g", text_encoder="minilm", lineage={})
    torch.manual_seed(0)  # the random base of `shared`
    loaded, _ = load_generator(tmp_path, pretrained=False)
    assert loaded.config == shared.config
    ours, theirs = shared.generator.head_priors, loaded.generator.head_priors
    assert torch.equal(theirs.shares_R, ours.shares_R)
    assert torch.equal(theirs.basis_RD, ours.basis_RD.half().float())
    kept = dict(theirs.named_parameters()) | dict(theirs.named_buffers())
    for name, tensor in (dict(ours.named_parameters()) | dict(ours.named_buffers())).items():
        torch.testing.assert_close(kept[name], tensor, atol=1e-3, rtol=1e-3)
    texts_NF = torch.nn.functional.normalize(torch.randn(3, 384), dim=1)
    torch.testing.assert_close(
        theirs(texts_NF).text_weights_ND, ours(texts_NF).text_weights_ND, atol=1e-3, rtol=1e-2
    )


def test_one_written_before_there_were_centre_taps_and_separation(tmp_path: Path) -> None:
    """Its head reads the plain taps alone, as it did when it was fitted."""
    torch.manual_seed(0)
    earlier = Hypernetwork.create(
        GeneratorConfig(resolution=RESOLUTION, centre_widths=(), separation_taps=0),
        pretrained=False,
    )
    description = {
        "name": "g",
        "config": asdict(earlier.config),
        "base_sha256": digest_tensors(earlier.base_tensors()),
        "text_encoder": "minilm",
        "lineage": {},
    }
    for name in ("centre_widths", "centre_weight", "separation_taps"):
        del description["config"][name]
    state = earlier.generator.state_dict()
    write_sealed(tmp_path, GENERATOR_STEM, state, description, file_format=GENERATOR_FORMAT)
    torch.manual_seed(0)
    loaded, _ = load_generator(tmp_path, pretrained=False)
    assert loaded.config == earlier.config
    assert loaded.network.centre_of == ()
    parameters = loaded.generator.head_priors(torch.zeros(2, 384))
    assert parameters.centre_of == ()
    assert parameters.within_spread_K is None


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


def test_the_shipped_default_writes_the_whole_body() -> None:
    """Every generated tensor differs from the public base; one body serves all tasks."""
    hypernetwork = Synthesizer.load("default", device="cpu").hypernetwork
    base, body = hypernetwork.base_tensors(), hypernetwork.shared_body()
    written = [t.name for t in hypernetwork.plan.tensors if t.rule is not Rule.STATISTIC]
    assert written
    assert [name for name in written if torch.equal(body[name], base[name])] == []


def test_the_shipped_default_writes_every_tensor_of_the_head(make_task: MakeTask) -> None:
    synthesizer = Synthesizer.load("default", device="cpu")
    first, second = (synthesizer.synthesize(make_task((1, 2), seed=seed)) for seed in (1, 2))
    heads = [classifier.head.tensors() for classifier in (first, second)]
    alike = [name for name in heads[0] if torch.equal(heads[0][name], heads[1][name])]
    assert alike == ["bias"]  # the ridge solves centred targets: its bias is 0 for every task
    assert not heads[0]["bias"].any()
