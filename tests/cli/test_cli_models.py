"""``sgps synthesize``, ``predict``, ``models`` and ``audit``: forms that machines rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from cli_outcome import KINDS, Sgps

from sgps.cli.models import RECEIPT_FIELDS

pytestmark = pytest.mark.usefixtures("used_home")


def test_folder_to_registered_model_to_predictions(sgps: Sgps, lesions: Path) -> None:
    made = sgps("synthesize", lesions, "--requester", "Dr. Ada", "--task", "Moles", "--json")
    assert made.code == 0, made.stderr
    receipt = json.loads(made.stdout)
    assert tuple(receipt) == RECEIPT_FIELDS
    assert (receipt["model_name"], receipt["version"]) == ("moles", "1")
    assert receipt["seconds"] > 0

    images = [lesions.parent / "held_out" / kind / "3.png" for kind in KINDS]
    seen = sgps("predict", receipt["model_uri"], *images, "--json")
    predictions = json.loads(seen.stdout)["predictions"]
    assert [prediction["image"] for prediction in predictions] == [str(path) for path in images]
    for prediction in predictions:
        assert {"image", "label", "probabilities", "state"} <= set(prediction)
        assert prediction["state"] == "draft"
        assert set(prediction["probabilities"]) == set(KINDS)
        assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert (
            max(prediction["probabilities"], key=prediction["probabilities"].get)
            == (prediction["label"])
        )
    table = sgps("predict", receipt["model_uri"], images[0])
    assert table.stdout.splitlines()[0].split() == ["image", "label", "probability", "note"]

    [version] = json.loads(sgps("models", "--json").stdout)
    assert version["model_uri"] == receipt["model_uri"]
    assert version["requester"] == "Dr. Ada"
    assert json.loads(sgps("models", "--requester", "Dr. Bo", "--json").stdout) == []
    assert receipt["model_uri"] in sgps("models", "moles").stdout

    [entry] = json.loads(sgps("audit", "list", "--kind", "synthesize", "--json").stdout)
    assert entry["record"]["audit"]["request_id"] == receipt["request_id"]
    assert receipt["weights_sha256"] not in json.dumps(entry["record"]["audit"]["outputs"])
    accesses = json.loads(sgps("audit", "list", "--kind", "access", "--json").stdout)
    assert [access["record"]["images"] for access in accesses] == [len(images), 1]
    assert json.loads(sgps("audit", "show", "1").stdout) == entry
    assert "synthesize" in sgps("audit", "list").stdout
    assert json.loads(sgps("audit", "verify", "--json").stdout)["passed"] is True
    assert "3 entries, chain unbroken" in sgps("audit", "verify").stdout


def test_task_file_and_words_for_people(sgps: Sgps, lesions: Path) -> None:
    classes = [
        {
            "name": kind,
            "description": f"The look of {kind}.",
            "images": [f"lesions/{kind}/{n}.png" for n in range(2)],
        }
        for kind in KINDS[:2]
    ]
    task = lesions.parent / "task.yaml"
    task.write_text(yaml.safe_dump({"task": "Two", "purpose": "a test", "classes": classes}))
    made = sgps("synthesize", task, "--requester", "Dr. Bo")
    assert made.code == 0, made.stderr
    assert "models:/two/1" in made.stdout
    assert "synthesize weights" in made.stderr


def test_predicting_with_an_unknown_model(sgps: Sgps, lesions: Path) -> None:
    sgps("predict", "models:/nosuch/1", lesions / "angioma" / "0.png").assert_one_line_error(
        "nosuch"
    )


def test_a_changed_ledger_is_found_out(sgps: Sgps, lesions: Path, sgps_home: Path) -> None:
    import sqlite3
    from contextlib import closing

    assert sgps("synthesize", lesions, "--json").code == 0
    with closing(sqlite3.connect(sgps_home / "ledger.db")) as database:
        for (trigger,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        table = next(
            name
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if any(row[1] == "subject" for row in database.execute(f'PRAGMA table_info("{name}")'))
        )
        database.execute(f"UPDATE \"{table}\" SET subject = 'models:/other/1'")
        database.commit()
    sgps("audit", "verify").assert_one_line_error("entry 1")
