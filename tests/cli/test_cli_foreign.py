"""What ``sgps predict`` notes of images that may be of no class of the task."""

from __future__ import annotations

import json

import pytest
from cli_outcome import Sgps

from sgps import service
from sgps.service import Prediction

SURE, UNSURE = {"mole": 0.9, "wart": 0.1}, {"mole": 0.55, "wart": 0.45}
AT_HOME = Prediction("a.png", "mole", SURE, "draft", 0.6, 0.3, "ham10000: nv", 0.1)
FOREIGN = Prediction("b.png", "mole", SURE, "draft", 0.6, -0.2, "ham10000: nv", 0.1)
BOTH = Prediction("c.png", "mole", UNSURE, "draft", 0.6, -0.2, "ham10000: nv", 0.1)
OF_AN_OLD_MODEL = Prediction("d.png", "mole", SURE, "draft", 0.6)
NOTE = "may be of no class of this task: resembles ham10000: nv"


@pytest.fixture(autouse=True)
def _answers(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [AT_HOME, FOREIGN, BOTH, OF_AN_OLD_MODEL]
    monkeypatch.setattr(service, "predict_images", lambda *_, **__: answers)


def test_the_note_names_the_known_class(sgps: Sgps) -> None:
    shown = sgps("predict", "models:/moles/1", "a.png")
    rows = [line.split(maxsplit=3) for line in shown.stdout.splitlines()[2:]]
    assert rows == [
        ["a.png", "mole", "0.900"],
        ["b.png", "mole", "0.900", NOTE],
        ["c.png", "mole", "0.550", f"not sure; {NOTE}"],
        ["d.png", "mole", "0.900"],
    ]


def test_json_has_it_where_it_is_known(sgps: Sgps) -> None:
    shown = sgps("predict", "models:/moles/1", "a.png", "--json")
    at_home, foreign, _, old = json.loads(shown.stdout)["predictions"]
    assert set(at_home) - set(old) == {"margin", "resembles", "foreign"}
    assert (at_home["foreign"], foreign["foreign"]) == (False, True)
    assert (foreign["margin"], foreign["resembles"]) == (-0.2, "ham10000: nv")
