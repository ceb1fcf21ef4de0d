"""A picture of a class that the generator knows, tried on a classifier that does not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sending import ADDRESS, picture, request_for
from starlette.testclient import TestClient

from sgps.datasets.decoding import decode_image
from sgps.settings import Settings
from sgps.synthesizer import GeneratorConfig, Hypernetwork, Synthesizer
from sgps.synthesizer.known_classes import KnownClasses
from sgps.synthesizer.scoring import images_to_tensor
from sgps.web.app import create_app

ELSEWHERE = picture(900)
KNOWN, FURTHER = "ham10000: nv", ("ham10000: mel", "ham10000: bkl")
KEYS = {"margin", "resembles", "foreign"}


@pytest.fixture(scope="module")
def informed(fresh_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of an application whose generator knows classes, one image of each.

    The generator sees support images as it sees new ones, without flips.
    """
    home = tmp_path_factory.mktemp("informed") / "home"
    shutil.copytree(fresh_home, home)
    torch.manual_seed(0)
    config = GeneratorConfig(architecture="tf_efficientnet_lite0", resolution=64, support_views=1)
    hypernetwork = Hypernetwork.create(config, pretrained=False)
    plain = Synthesizer(hypernetwork, name="plain")
    pixels = decode_image(ELSEWHERE, name="elsewhere").pixels
    others = np.random.default_rng(10).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        images = images_to_tensor([pixels, *others], plain.resolution)
        taps = hypernetwork.taps_under(hypernetwork.shared_body(), images)
    means_CD = torch.cat(taps, dim=1)
    known = KnownClasses((KNOWN, *FURTHER), means_CD, plain.generator_sha256)
    knowing = Synthesizer(hypernetwork, name="knowing", known_classes=known)
    app = create_app(Settings(home=home), knowing, wait=60.0)
    with TestClient(app, base_url=ADDRESS) as opened:
        yield opened


def test_a_foreign_picture_is_said_to_be_foreign(informed: TestClient) -> None:
    fields = request_for(informed, "Colours")
    for given, seed in zip(fields["classes"], (0, 10), strict=True):
        files = [picture(seed, side=side) for side in (20, 48, 200)]
        sent = [informed.post("/api/images", content=file).json()["id"] for file in files]
        given["images"] = sent
    assert informed.post("/api/requests", json=fields).status_code == 201
    foreign = informed.post("/api/models/colours/1/predict", content=ELSEWHERE).json()
    assert (foreign["foreign"], foreign["resembles"]) == (True, KNOWN)
    own = fields["classes"][0]["images"][0]
    support = informed.post(f"/api/models/colours/1/predict?image={own}").json()
    assert support["foreign"] is False
    assert support["resembles"] in (KNOWN, *FURTHER)
    assert foreign["margin"] < support["margin"]


def test_of_a_classifier_without_known_classes_nothing_is_said(running: TestClient) -> None:
    running.post("/api/requests", json=request_for(running, "Unknowing"))
    said = running.post("/api/models/unknowing/1/predict", content=ELSEWHERE).json()
    assert "probabilities" in said
    assert KEYS.isdisjoint(said)


def test_the_schema_describes_every_fact_of_an_answer(informed: TestClient) -> None:
    informed.post("/api/requests", json=request_for(informed, "Described"))
    said = informed.post("/api/models/described/1/predict", content=ELSEWHERE).json()
    paths = informed.get("/api/openapi.json").json()["paths"]
    call = paths["/api/models/{name}/{version}/predict"]["post"]
    schema = call["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(said) == set(schema["properties"])
    assert set(said) - set(schema["required"]) == KEYS
