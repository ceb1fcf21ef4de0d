"""What the pages say, and that they say it as text."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from sending import ledger, picture, request_for, services
from starlette.testclient import TestClient

from sgps.service import review
from sgps.settings import Settings

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
STATIC = Path(__file__).parents[2] / "sgps" / "web" / "static"
TEMPLATES = STATIC.with_name("templates")


def test_the_page_has_no_inline_code_and_asks_for_nothing_elsewhere(client: TestClient) -> None:
    text = client.get("/").text
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=|javascript:", text)
    for address in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert address.startswith(("/", "#")), address
        if address.startswith("/static/"):
            assert client.get(address).status_code == 200


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_scripts_never_make_markup_of_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
    assert not re.search(r"https?://", text)
    assert len(text.splitlines()) <= 300


def test_templates_never_trust_a_value() -> None:
    for path in TEMPLATES.glob("*.j2"):
        assert not re.search(r"\|\s*safe|autoescape", path.read_text(encoding="utf-8")), path


def test_markup_of_a_requester_is_text_everywhere(running: TestClient) -> None:
    fields = request_for(running, ATTACK, requester=ATTACK, purpose=ATTACK, legal_basis=ATTACK)
    fields["classes"][0] |= {"name": ATTACK, "description": ATTACK}
    answer = running.post("/api/requests", json=fields)
    assert answer.status_code == 201, answer.text
    (entry,) = ledger(running).find(requester=ATTACK)
    searches = (f"/audit?{name}={quote(ATTACK)}" for name in ("requester", "task", "model"))
    for path in ("/audit", f"/audit/{entry.number}", *searches):
        text = running.get(path).text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_records_are_found(running: TestClient) -> None:
    running.post("/api/requests", json=request_for(running, "Colours"))
    running.post("/api/requests", json=request_for(running, "Shapes", 50, requester="Bo"))
    workspace = services(running).worker.workspace
    review.submit_for_review("models:/shapes/1", workspace, reviewer="Bo")
    colours, shapes, submitted = (entry.number for entry in workspace.ledger.entries(limit=3))

    def numbers(query: str) -> list[int]:
        found = re.findall(r'href="/audit/(\d+)"', running.get(f"/audit?{query}").text)
        return [int(number) for number in found]

    assert numbers("")[:3] == [submitted, shapes, colours]
    assert numbers("task=Colours") == [colours]
    assert numbers("requester=Bo") == [shapes]
    assert numbers("model=shapes") == [submitted, shapes]
    assert numbers("model=models:/shapes/1&kind=review") == [submitted]
    assert numbers("state=pending_review") == [shapes]
    assert colours in numbers("state=draft")
    assert numbers("kind=review") == [submitted]
    assert numbers("requester=Nobody") == []
    assert numbers("requester=bO&task=SHAPES") == [shapes]
    assert numbers("generator=No%20such") == []
    name = workspace.ledger.get(shapes).record["audit"]["generator"]["name"]
    assert {shapes, colours} <= set(numbers(f"generator={name.upper()}"))
    [*_, digest] = workspace.ledger.term_values("image")
    found = [entry.number for entry in workspace.ledger.find(image=digest)]
    assert numbers(f"image={digest[:16].upper()}") == found[::-1]
    assert numbers("image=00000000000000") == []
    assert numbers("lines=1") == [submitted]


def test_one_record_is_shown_whole_behind_its_main_facts(running: TestClient) -> None:
    fields = request_for(running, "Whole", legal_basis="Consent, study 7.")
    receipt = running.post("/api/requests", json=fields).json()["receipt"]
    (entry,) = ledger(running).find(request_id=receipt["request_id"])
    text = running.get(f"/audit/{entry.number}").text
    facts, _, folded = text.partition('<details class="whole">')
    for name, value in (
        ("Task", "Whole"),
        ("Asked for by", "Ada (steward, did not sign in)"),
        ("Why", "To see."),
        ("Why the pictures may be used", "Consent, study 7."),
        ("Classes", "red (2 pictures), blue (2 pictures)"),
        ("MLflow run", receipt["run_id"]),
    ):
        assert f'<th scope="row">{name}</th><td>{value}</td>' in facts
    assert "The chain is sound" in facts
    assert re.search(r"State now</th><td[^>]*>draft</td>", facts)
    assert "<pre" not in facts
    assert receipt["run_id"] in folded


def test_the_facts_of_other_entries_are_told(running: TestClient) -> None:
    running.post("/api/requests", json=request_for(running, "日本語", 90))
    (made,) = ledger(running).find(task="日本語")
    workspace = services(running).worker.workspace
    review.submit_for_review(made.subject, workspace, reviewer="Ada", reason="Please look.")
    name = made.subject.split("/")[1]
    running.post(f"/api/models/{name}/1/predict", content=picture(91))
    reviewed, used = ledger(running).entries(limit=2)
    text = running.get(f"/audit/{reviewed.number}").text
    for fact, value in (
        ("About", f"{made.subject} (日本語)"),
        ("State before", "draft"),
        ("State after", "pending review"),
        ("By", "Ada (did not sign in)"),
        ("Reason", "Please look."),
        ("Made in entry", made.number),
    ):
        assert f'<th scope="row">{fact}</th><td>{value}</td>' in text
    text = running.get(f"/audit/{used.number}").text
    assert '<th scope="row">Act</th><td>predict</td>' in text
    assert '<th scope="row">Images</th><td>1</td>' in text
    assert running.get("/audit").text.count(f"{made.subject} (日本語)") == 2


@pytest.mark.parametrize("path", ["/audit/99", "/audit/x", "/nothing", f"/audit/{10**20}"])
def test_a_wrong_address_is_told_to_people_as_a_page(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert "That did not work" in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def test_a_broken_chain_is_told(client: TestClient, settings: Settings) -> None:
    for number in range(3):
        ledger(client).append("check", "nothing", {"number": number})
    with closing(sqlite3.connect(settings.home_folder / "ledger.db")) as tampered:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in tampered.execute(query).fetchall():
            tampered.execute(f"DROP TRIGGER {name}")
        tampered.execute("UPDATE ledger_entries SET record = '{}' WHERE number = 2")
        tampered.commit()
    assert "The chain is broken: entry 2 was altered" in client.get("/audit").text


def test_descriptions_are_found_by_their_words(client: TestClient) -> None:
    found = client.get("/api/descriptions", params={"query": "red lacunae angioma"}).json()
    assert "angioma" in {each["label"] for each in found["descriptions"]}
    everything = client.get("/api/descriptions").json()
    assert len(everything["descriptions"]) == 12 < everything["found"]
    none = client.get("/api/descriptions", params={"query": "zzzz"}).json()
    assert none == {"descriptions": [], "found": 0}


def test_the_schema_tells_bodies_and_answers(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    posts = {path: calls["post"] for path, calls in paths.items() if "post" in calls}
    assert len(posts) == 5
    for path, call in posts.items():
        assert call["requestBody"]["content"], path
        assert {"401", "403", "422"} <= call["responses"].keys(), path
    asked = posts["/api/requests"]
    schema = asked["requestBody"]["content"]["application/json"]["schema"]
    assert {"task", "requester", "purpose", "classes"} == set(schema["required"])
    assert "folder" not in schema["properties"]
    assert {one["name"] for one in asked["parameters"]} == {"Idempotency-Key", "Prefer"}
    assert {"201", "202", "429"} <= asked["responses"].keys()
