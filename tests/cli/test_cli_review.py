"""``sgps review`` from draft to archive, and what ``sgps predict`` says meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

from cli_outcome import Sgps


def test_a_review_on_the_command_line(sgps: Sgps, lesions: Path) -> None:
    image = lesions.parent / "held_out" / "melanoma" / "3.png"
    made = sgps("synthesize", lesions, "--requester", "Dr. Ada", "--task", "Moles", "--json")
    uri = json.loads(made.stdout)["model_uri"]
    review = ("review", "approve", uri, "--reason", "Looked at 50 cases.")

    shown = sgps("review", "show", uri)
    assert shown.stdout.splitlines() == ["model  models:/moles/1", "state  draft"]
    sgps(*review, "--reviewer", "Dr. Bo").assert_one_line_error("is draft", "pending review")
    assert sgps("review", "submit", uri, "--reviewer", "Dr. Ada").code == 0
    sgps(*review, "--reviewer", "dr. ada").assert_one_line_error("not the requester")
    sgps("review", "reject", uri, "--reviewer", "Dr. Bo").assert_one_line_error("reason")
    seen = sgps("predict", uri, image, "--who", "Dr. Cy")
    assert "is not approved (state: pending review)" in seen.stderr
    header = seen.stdout.splitlines()[0].split()
    assert header == ["image", "label", "probability", "note"]

    approved = sgps(*review, "--reviewer", "Dr. Bo", "--role", "reviewer", "--json")
    state = json.loads(approved.stdout)
    assert (state["model_uri"], state["state"]) == (uri, "approved")
    assert [change["who"] for change in state["history"]] == ["Dr. Ada", "Dr. Bo"]
    seen = sgps("predict", "models:/moles@approved", image, "--no-record-access", "--json")
    assert "approved" not in seen.stderr
    [prediction] = json.loads(seen.stdout)["predictions"]
    assert prediction["state"] == "approved"
    [found] = json.loads(sgps("models", "--state", "approved", "--json").stdout)
    assert found["aliases"] == ["approved"]
    assert "Looked at 50 cases." in sgps("review", "show", "models:/moles@approved").stdout

    assert sgps("review", "archive", uri).code == 0
    sgps("predict", "models:/moles@approved", image).assert_one_line_error("moles@approved")
    again = sgps("review", "show", uri, "--repair", "--json")
    assert "repaired" not in again.stderr
    assert json.loads(again.stdout)["state"] == "archived"
    [access] = json.loads(sgps("audit", "list", "--kind", "access", "--json").stdout)
    assert access["subject"] == uri
    assert (access["record"]["who"], access["record"]["images"]) == ("Dr. Cy", 1)
