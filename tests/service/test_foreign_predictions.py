"""Images that are less at home in a task than any that its classifier was made of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgps.datasets.decoding import Pixels, read_image
from sgps.service.prediction import Prediction, load_verified, predict_pixels
from sgps.service.requests import SynthesisRequest
from sgps.service.synthesis import synthesize_request
from sgps.service.workspace import Workspace, open_workspace
from sgps.settings import Settings
from sgps.synthesizer import GeneratorConfig, Hypernetwork, Synthesizer
from sgps.synthesizer.known_classes import KnownClasses
from sgps.synthesizer.scoring import images_to_tensor

KEYS = {"margin", "resembles", "foreign"}
KNOWN, FURTHER = "ham10000: nv", ("ham10000: mel", "ham10000: bkl")


@pytest.fixture(scope="module")
def elsewhere() -> Pixels:
    """An image of a class that the generator knows."""
    return np.random.default_rng(9).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def plain() -> Synthesizer:
    """An untrained generator that sees support images as it sees new ones, without flips."""
    torch.manual_seed(0)
    config = GeneratorConfig(architecture="tf_efficientnet_lite0", resolution=64, support_views=1)
    return Synthesizer(Hypernetwork.create(config, pretrained=False), name="plain")


@pytest.fixture(scope="module")
def knowing(plain: Synthesizer, elsewhere: Pixels) -> Synthesizer:
    """The same with known classes, one image of each."""
    hypernetwork = plain.hypernetwork
    others = np.random.default_rng(10).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        images = images_to_tensor([elsewhere, *others], plain.resolution)
        taps = hypernetwork.taps_under(hypernetwork.shared_body(), images)
    means_CD = torch.cat(taps, dim=1)
    known = KnownClasses((KNOWN, *FURTHER), means_CD, plain.generator_sha256)
    return Synthesizer(hypernetwork, name="knowing", known_classes=known)


@pytest.fixture(scope="module")
def shared(fresh_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    home = tmp_path_factory.mktemp("foreign") / "home"
    shutil.copytree(fresh_home, home)
    with open_workspace(Settings(home=home)) as opened:
        yield opened


def draw_alike(folder: Path, shots: int) -> Path:
    """A folder with two classes, the images of one looking much the same; return the last."""
    for number, label in enumerate(("melanoma", "naevus")):
        (folder / label).mkdir(parents=True)
        of_class = np.random.default_rng(number).integers(0, 256, (6, 6, 3))
        for shot in range(shots):
            noise = np.random.default_rng([number, shot]).integers(-40, 41, (6, 6, 3))
            coarse = (of_class + noise).clip(0, 255).astype(np.uint8)
            path = folder / label / f"{shot}.png"
            Image.fromarray(coarse).resize((48, 48)).save(path)
    return path


def made_of(folder: Path, workspace: Workspace, generator: Synthesizer) -> str:
    """Address of the classifier that a generator makes of a folder of classes."""
    title = f"{generator.generator_name} {folder.parent.name}"
    request = SynthesisRequest.from_folder(folder, "Dr. Ada", "study", task=title)
    return synthesize_request(request, workspace, generator).model_uri


def test_an_image_of_a_known_class_is_foreign_and_a_support_image_is_not(
    tmp_path: Path, shared: Workspace, knowing: Synthesizer, elsewhere: Pixels
) -> None:
    support = read_image(draw_alike(tmp_path / "task", 3)).pixels
    uri = made_of(tmp_path / "task", shared, knowing)
    foreign, own = predict_pixels(uri, [("foreign", elsewhere), ("own", support)], shared)
    least = load_verified(uri, shared).details["foreign_margin"]
    assert foreign.resembles == KNOWN
    assert own.resembles in (KNOWN, *FURTHER)
    assert foreign.foreign_margin == own.foreign_margin == least
    assert foreign.margin is not None
    assert own.margin is not None
    assert foreign.margin < least <= own.margin
    told, told_of_own = (json.loads(json.dumps(each.to_dict())) for each in (foreign, own))
    assert (told["foreign"], told["resembles"]) == (True, KNOWN)
    assert told["margin"] == foreign.margin
    assert told_of_own["foreign"] is False


def test_the_probabilities_do_not_depend_on_known_classes(
    tmp_path: Path, shared: Workspace, knowing: Synthesizer, plain: Synthesizer
) -> None:
    support = read_image(draw_alike(tmp_path / "task", 2)).pixels
    knows, knows_not = (
        predict_pixels(made_of(tmp_path / "task", shared, maker), [("a", support)], shared)[0]
        for maker in (knowing, plain)
    )
    assert knows.probabilities == knows_not.probabilities
    assert set(knows.to_dict()) - set(knows_not.to_dict()) == KEYS
    assert (knows_not.margin, knows_not.resembles) == (None, None)
    assert not knows_not.foreign


def test_of_one_image_a_class_nothing_is_called_foreign(
    tmp_path: Path, shared: Workspace, knowing: Synthesizer, elsewhere: Pixels
) -> None:
    draw_alike(tmp_path / "task", 1)
    uri = made_of(tmp_path / "task", shared, knowing)
    [found] = predict_pixels(uri, [("a", elsewhere)], shared)
    assert found.margin is not None
    assert not found.foreign
    assert KEYS - set(found.to_dict()) == {"foreign"}


@pytest.mark.parametrize(
    ("margin", "foreign_margin", "foreign"),
    [(0.1, 0.2, True), (0.2, 0.2, False), (-0.1, None, False), (None, 0.2, False)],
)
def test_foreign_takes_both_numbers(
    margin: float | None, foreign_margin: float | None, foreign: bool
) -> None:
    found = Prediction("a", "x", {"x": 0.6, "y": 0.4}, margin=margin, foreign_margin=foreign_margin)
    assert found.foreign is foreign
