"""From dropped pictures to a classifier and its answer, over HTTP."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sending import drop, ledger, picture, request_for, services
from starlette.testclient import TestClient

from sgps.audit import seal_digest

OpenClient = Callable[..., TestClient]


def test_a_request_becomes_a_classifier_that_answers(running: TestClient) -> None:
    answer = running.post("/api/requests", json=request_for(running, "Colours"))
    assert answer.status_code == 201, answer.text
    content = answer.json()
    receipt = content["receipt"]
    assert content["state"] == "done"
    assert receipt["model_uri"] == "models:/colours/1"
    assert content["mlflow"] == "http://127.0.0.1:5000/#/models/colours/versions/1"
    assert "synthesize_weights" in content["steps"]
    followed = running.get(f"/api/requests/{receipt['request_id']}")
    assert followed.status_code == 200
    assert followed.json() == content
    said = running.post("/api/models/colours/1/predict", content=picture(99))
    assert said.status_code == 200, said.text
    prediction = said.json()
    probabilities = prediction["probabilities"]
    assert set(probabilities) == {"red", "blue"}
    assert sum(probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    assert prediction["label"] == max(probabilities, key=probabilities.__getitem__)
    assert prediction["state"] == "draft"
    assert "not approved" in prediction["warning"]
    assert isinstance(prediction["abstains"], bool)


def test_a_support_image_is_most_like_itself(running: TestClient) -> None:
    fields = request_for(running, "Mirror")
    running.post("/api/requests", json=fields)
    for number, (label, place) in enumerate((("red", 0), ("red", 1), ("blue", 0), ("blue", 1))):
        image = fields["classes"][number // 2]["images"][place]
        nearest = running.post(f"/api/models/mirror/1/predict?image={image}").json()["nearest"]
        assert (nearest["number"], nearest["class_name"]) == (number, label)
        assert nearest["similarity"] == pytest.approx(1.0, abs=1e-4)
        small = running.get(f"/api/models/mirror/1/support/{number}")
        assert small.headers["content-type"] == "image/png"
        assert small.content.startswith(b"\x89PNG")
    assert running.get("/api/models/mirror/1/support/4").status_code == 404


def test_what_was_accepted_on_dropping_is_accepted_on_asking(open_client: OpenClient) -> None:
    limit = 30_000
    client = open_client(max_image_bytes=limit)
    images = []
    for seed in range(2):
        grain = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(grain).save(file, "JPEG", quality=60)
        assert len(file.getvalue()) < limit
        images.append(client.post("/api/images", content=file.getvalue()).json()["id"])
        kept = services(client).uploads.folder / f"{images[-1]}.png"
        assert kept.stat().st_size > limit
    classes = [{"name": name, "images": [image]} for name, image in zip("ab", images, strict=True)]
    fields = {"task": "Grain", "requester": "Ada", "purpose": "To see.", "classes": classes}
    answer = client.post("/api/requests", json=fields)
    assert answer.status_code == 201, answer.text
    for number, image in enumerate(images):
        nearest = client.post(f"/api/models/grain/1/predict?image={image}").json()["nearest"]
        assert nearest["number"] == number


def test_the_same_request_gives_the_same_version(running: TestClient) -> None:
    fields = request_for(running, "Twice")
    first = running.post("/api/requests", json=fields).json()
    again = running.post("/api/requests", json=fields)
    assert again.status_code == 201
    assert again.json()["receipt"] == first["receipt"]
    dropped_again = running.post("/api/requests", json=request_for(running, "Twice")).json()
    assert dropped_again["receipt"] == first["receipt"]


def test_eight_at_once_give_eight_versions(running: TestClient) -> None:
    asked = [request_for(running, "Eight", 100 * number) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda fields: running.post("/api/requests", json=fields), asked))
    assert [answer.status_code for answer in answers] == [201] * 8
    versions = {answer.json()["receipt"]["version"] for answer in answers}
    assert versions == {str(number) for number in range(1, 9)}


def test_a_key_with_another_content_is_refused(running: TestClient) -> None:
    key = {"Idempotency-Key": "mine"}
    first, other = request_for(running, "Key"), request_for(running, "Key", 50)
    assert running.post("/api/requests", json=first, headers=key).status_code == 201
    refused = running.post("/api/requests", json=other, headers=key)
    assert refused.status_code == 422
    assert "belongs to another request" in refused.json()["error"]["what"]


def test_who_did_not_sign_in_is_recorded_so(running: TestClient) -> None:
    fields = request_for(running, "Who", legal_basis="Consent.")
    running.post("/api/requests", json=fields)
    (entry,) = ledger(running).find(task="Who")
    audit = entry.record["audit"]
    assert audit["who"] == {"requester": "Ada", "role": "steward", "authentication": "none"}
    assert audit["why"]["legal_basis"] == "Consent."


def test_the_record_tells_of_the_files_as_they_were_sent(running: TestClient) -> None:
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    sent = picture(700, format="JPEG", exif=exif)
    fields = request_for(running, "Origins", 710)
    fields["classes"][1]["images"].append(
        running.post("/api/images", content=sent).json()["id"],
    )
    receipt = running.post("/api/requests", json=fields).json()["receipt"]
    audit = services(running).worker.workspace.registry.audit_record(receipt["run_id"])
    kept, jpeg = (audit["inputs"]["classes"][1]["images"][place] for place in (0, 2))
    assert jpeg["deidentification"] == {"removed": ["exif"], "re_encoded": True, "format": "JPEG"}
    assert jpeg["file_sha256"] == hashlib.sha256(sent).hexdigest()
    assert (kept["deidentification"]["removed"], kept["deidentification"]["format"]) == ([], "PNG")
    assert kept["file_sha256"] == hashlib.sha256(picture(720)).hexdigest()
    (entry,) = ledger(running).find(request_id=receipt["request_id"])
    sealed = entry.record["audit"]["inputs"]["classes"][1]["images"][2]
    assert sealed["deidentification"] == jpeg["deidentification"]
    key = ledger(running).record_keys.get(receipt["request_id"])
    assert key is not None
    assert sealed["file_hmac"] == seal_digest(key, jpeg["file_sha256"])


def test_the_answer_tells_what_each_picture_does(running: TestClient) -> None:
    fields = request_for(running, "Influence", 730)
    first, second = fields["classes"]
    second["images"].insert(1, second["images"][0])
    first["images"].append(drop(running, 735))
    content = running.post("/api/requests", json=fields).json()
    (entry,) = ledger(running).find(request_id=content["request_id"])
    measured = entry.record["audit"]["outputs"]["details"]["influence"]
    assert [each["class"] for each in content["influence"]] == ["red", "blue"]
    numbers = [[image["image"] for image in each["images"]] for each in content["influence"]]
    assert numbers == [[1, 2, 3], [1, 3]]
    for number, (asked, told) in enumerate(
        zip(fields["classes"], content["influence"], strict=True)
    ):
        for image, recorded in zip(told["images"], measured[number], strict=True):
            upload = services(running).uploads.get(asked["images"][image["image"] - 1])
            assert image["pixel_sha256"] == upload.pixel_sha256
            assert image["influence"] == recorded["influence"]
            assert image["judged"] is True
            assert image["contradicts_its_class"] == (image["taken_for"] != told["class"])
            assert image["contradicts_its_class"] == recorded["contradicts_its_class"]
    fields["classes"] = [second, first]
    assert running.post("/api/requests", json=fields).json()["influence"] == content["influence"]


def test_a_picture_alone_in_its_class_is_not_judged(running: TestClient) -> None:
    fields = request_for(running, "Alone", 740)
    fields["classes"][0]["images"].pop()
    (alone,) = running.post("/api/requests", json=fields).json()["influence"][0]["images"]
    assert (alone["judged"], alone["contradicts_its_class"], alone["taken_for"]) == (
        False,
        False,
        None,
    )


def test_an_erased_classifier_does_not_answer_any_more(running: TestClient) -> None:
    receipt = running.post("/api/requests", json=request_for(running, "Gone")).json()["receipt"]
    path = "/api/models/gone/1"
    assert running.post(f"{path}/predict", content=picture(1)).status_code == 200
    ledger(running).record_keys.erase(receipt["request_id"])
    assert running.post(f"{path}/predict", content=picture(1)).status_code == 409
    assert running.get(f"{path}/support/0").status_code == 409


def test_a_slow_request_is_pending_and_can_be_followed(open_client: OpenClient) -> None:
    hurried = open_client(wait=0.0)
    answer = hurried.post("/api/requests", json=request_for(hurried, "Slow"))
    assert answer.status_code == 202
    assert answer.json()["state"] == "pending"
    path = f"/api/requests/{answer.json()['request_id']}"
    found = hurried.get(path).json()
    while found["state"] == "pending":
        time.sleep(0.05)
        found = hurried.get(path).json()
    assert found["receipt"]["version"] == "1"


@pytest.mark.parametrize("prefer", ["respond-async", "wait=10, Respond-Async; foo"])
def test_who_prefers_not_to_wait_is_answered_at_once(client: TestClient, prefer: str) -> None:
    fields = request_for(client, "At once")
    answer = client.post("/api/requests", json=fields, headers={"Prefer": prefer})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert (answer.json()["state"], answer.json()["task"]) == ("pending", "At once")
    services(client).worker.enqueue(answer.json()["request_id"]).result(timeout=60)
    again = client.post("/api/requests", json=fields, headers={"Prefer": prefer})
    assert again.status_code == 201
    assert "preference-applied" not in again.headers
    assert again.json()["receipt"]["version"] == "1"


@pytest.mark.parametrize("prefer", ["wait=10", "no-respond-async", ""])
def test_other_preferences_change_nothing(running: TestClient, prefer: str) -> None:
    fields = request_for(running, f"Wait {prefer}", 750)
    answer = running.post("/api/requests", json=fields, headers={"Prefer": prefer})
    assert answer.status_code == 201


def test_known_pictures_are_one_remark_for_each_earlier_model(running: TestClient) -> None:
    first = request_for(running, "日本語", 760)
    assert running.post("/api/requests", json=first).json()["task"] == "日本語"
    other = request_for(running, "Known", 780)
    other["classes"][0]["images"] += [first["classes"][0]["images"][0], drop(running, 763)]
    other["classes"][1]["images"].append(other["classes"][1]["images"][0])
    remarks = running.post("/api/requests", json=other).json()["remarks"]
    uri = next(iter(remarks["known"]))["model_uri"]
    assert uri.startswith("models:/task-")
    assert remarks["known"] == [{"model_uri": uri, "title": "日本語", "pictures": 1, "of": 6}]
    assert "known_image" not in {each["check"] for each in remarks["pictures"]}
    assert remarks["pictures"][0] == {
        "check": "duplicate",
        "class": "blue",
        "image": 3,
        "message": "image 3 shows the same as image 1 and was left out",
    }
    assert remarks["pictures"][1]["message"].startswith("Small: it is 48 x 48 pixels")


def test_a_registry_that_is_down_leaves_the_request_pending(
    open_client: OpenClient, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    broken = open_client(tracking_uri=f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")
    fields = request_for(broken, "Later")
    answer = broken.post("/api/requests", json=fields)
    assert answer.status_code == 202, answer.text
    assert answer.json()["waiting_for"]
    again = open_client().post("/api/requests", json=fields).json()
    assert again["request_id"] == answer.json()["request_id"]
    assert again["state"] == "done"


def test_a_full_queue_turns_away(open_client: OpenClient, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    broken = f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}"
    client = open_client(max_queue=1, wait=0.0, tracking_uri=broken)
    assert client.post("/api/requests", json=request_for(client, "One")).status_code == 202
    refused = client.post("/api/requests", json=request_for(client, "Two", 50))
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["error"]["remedy"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": ""}, "task"),
        ({"task": 3}, "task"),
        ({"requester": None}, "requester"),
        ({"purpose": "x" * 1_001}, "purpose"),
        ({"classes": "many"}, "classes"),
        ({"classes": []}, "classes"),
        ({"folder": "/etc"}, "folder"),
        ({"classes": [{"name": "a", "images": ["../../etc/passwd"]}]}, "no such image"),
        ({"classes": [{"name": "a", "images": ["0" * 32]}]}, "no such image"),
        ({"classes": [{"name": "a", "images": [{"id": 1}]}]}, "no such image"),
        ({"classes": [None, None]}, "classes"),
    ],
)
def test_a_wrong_field_is_named(client: TestClient, changes: dict[str, Any], words: str) -> None:
    fields = {"task": "T", "requester": "Ada", "purpose": "P", "classes": []}
    answer = client.post("/api/requests", json=fields | changes)
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["error"]["what"]


def test_an_unknown_field_is_named(client: TestClient) -> None:
    answer = client.post("/api/requests", json=request_for(client, "T", surprise=1))
    assert answer.status_code == 422
    assert "surprise" in answer.json()["error"]["what"]


def test_an_image_in_two_classes_is_refused(client: TestClient) -> None:
    classes = [{"name": name, "images": [drop(client, 1)]} for name in "ab"]
    fields = {"task": "T", "requester": "Ada", "purpose": "P", "classes": classes}
    answer = client.post("/api/requests", json=fields)
    assert answer.status_code == 422
    assert "are the same image" in answer.json()["error"]["what"]


def test_an_unknown_request_is_not_found(client: TestClient) -> None:
    assert client.get("/api/requests/" + "0" * 32).status_code == 404


@pytest.mark.parametrize("path", ["Colours/1", "colours/x", "a..b/1", "colours/1%2f2", "a/1"])
def test_an_unknown_classifier_is_not_found(running: TestClient, path: str) -> None:
    answer = running.post(f"/api/models/{path}/predict", content=picture(0))
    assert answer.status_code == 404, answer.text
    assert answer.json()["error"]["what"]


def test_fifty_at_once_over_http_are_one(running: TestClient) -> None:
    fields = request_for(running, "Fifty at once", 300)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: running.post("/api/requests", json=fields), range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["receipt"]["model_uri"] for answer in answers}) == 1
    assert len(ledger(running).find(task="Fifty at once")) == 1
