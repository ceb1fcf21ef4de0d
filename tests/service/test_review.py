"""Review: the ledger decides, MLflow shows it, nobody judges their own request."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from recorded_drafts import copy_draft, synthesize_draft

from sgps.audit import Ledger
from sgps.errors import (
    ConflictError,
    IntegrityError,
    RequestError,
    StoreError,
    UnknownNameError,
)
from sgps.registry import labelling
from sgps.registry.states import FOLLOWING, State
from sgps.service import _version_checks, review
from sgps.service._version_checks import require_unaltered
from sgps.service.erasure import ErasureSelection, erase
from sgps.service.workspace import Workspace, open_workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer

STEPS = {
    State.PENDING_REVIEW: review.submit_for_review,
    State.APPROVED: review.approve,
    State.REJECTED: review.reject,
    State.ARCHIVED: review.archive,
}
BO = {"reviewer": "Dr. Bo", "reason": "Looked at 50 cases."}


@pytest.fixture(scope="module")
def workspace(fresh_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    home = tmp_path_factory.mktemp("review") / "home"
    shutil.copytree(fresh_home, home)
    with open_workspace(Settings(home=home)) as opened:
        yield opened


@pytest.fixture(scope="module")
def synthesized(
    workspace: Workspace, generator: Synthesizer, tmp_path_factory: pytest.TempPathFactory
) -> str:
    return synthesize_draft(tmp_path_factory.mktemp("images") / "Skin marks", workspace, generator)


@pytest.fixture
def draft(workspace: Workspace, synthesized: str) -> str:
    """A draft that Dr. Ada asked for, the only version of its model."""
    return copy_draft(workspace, synthesized)


def alias(workspace: Workspace, model_uri: str) -> str | None:
    name = model_uri.split("/")[1]
    try:
        return workspace.registry.describe(f"models:/{name}@approved").model_uri
    except UnknownNameError:
        return None


def artifacts(workspace: Workspace, model_uri: str) -> Path:
    run_id = workspace.registry.describe(model_uri).run_id
    return workspace.settings.artifact_folder / run_id / "artifacts"


def test_from_draft_to_the_archive(draft: str, workspace: Workspace) -> None:
    assert review.state_of(draft, workspace).state is State.DRAFT
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    assert alias(workspace, draft) is None
    approved = review.approve(draft, workspace, role="reviewer", authentication="basic", **BO)
    assert approved.state is State.APPROVED
    assert alias(workspace, draft) == draft
    found = workspace.registry.search(tags={"state": "approved"})
    assert draft in [version.model_uri for version in found]
    done = review.archive(draft, workspace, reviewer="Dr. Ada")
    assert alias(workspace, draft) is None
    assert [(change.previous, change.state, change.who) for change in done.history] == [
        ("draft", "pending_review", "Dr. Ada"),
        ("pending_review", "approved", "Dr. Bo"),
        ("approved", "archived", "Dr. Ada"),
    ]
    entry = workspace.ledger.get(done.history[1].entry)
    assert entry.kind == "review"
    assert entry.record["role"] == "reviewer"
    assert entry.record["reason"] == BO["reason"]
    assert entry.record["weights_sha256" if "weights_sha256" in entry.record else "weights_hmac"]
    version = workspace.registry.client.get_model_version(draft.split("/")[1], "1")
    assert "Looked at 50 cases" in version.description
    assert "State: **archived**" in version.description
    assert workspace.ledger.verify().passed


def test_nobody_reviews_their_own_request(draft: str, workspace: Workspace) -> None:
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    for name in ("Dr. Ada", " dr.  ADA ", "Ｄr. Ada", "Dr.\u200b Ada"):
        for step in (review.approve, review.reject):
            with pytest.raises(RequestError, match="not the requester"):
                step(draft, workspace, reviewer=name, reason="It is good.")
    assert review.state_of(draft, workspace).state is State.PENDING_REVIEW


def test_who_and_why_must_be_said(draft: str, workspace: Workspace) -> None:
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    for reviewer, reason in (
        ("", "why"), ("  ", "why"), ("B" * 121, "why"), ("Bo", ""), ("Bo", " \n"),
        ("Bo", "r" * 1001), ("B\u202eo", "why"), ("Bo", "w\x00hy"), ("Bo\nEve", "why"),
    ):  # fmt: skip
        for step in (review.approve, review.reject):
            with pytest.raises(RequestError):
                step(draft, workspace, reviewer=reviewer, reason=reason)


def test_steps_out_of_turn_are_refused(draft: str, workspace: Workspace) -> None:
    with pytest.raises(RequestError, match=r"is draft.*expected pending review or archived"):
        review.approve(draft, workspace, **BO)
    review.archive(draft, workspace, reviewer="Dr. Ada")
    with pytest.raises(RequestError, match=r"is archived.*no further change"):
        review.submit_for_review(draft, workspace, reviewer="Dr. Ada")


def _flip_last_byte(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(
    ("name", "alter"),
    [
        ("model/data/classifier/classifier.safetensors", _flip_last_byte),
        ("support/melanoma/1-*.png", lambda path: path.write_bytes(b"no image")),
        ("support/melanoma/1-*.png", Path.unlink),
        ("texts.json", lambda path: path.write_text(path.read_text().replace('""', '"Other."'))),
        ("card.html", lambda path: path.write_text("<h1>Approved</h1>")),
        ("audit.json", lambda path: path.write_text(path.read_text().replace("Ada", "Bo"))),
    ],
)
def test_altered_artifacts_are_not_approved(
    draft: str, workspace: Workspace, name: str, alter: Callable[[Path], object]
) -> None:
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    (path,) = artifacts(workspace, draft).glob(name)
    alter(path)
    before = workspace.ledger.checkpoint().number
    place = path.parent.name if path.suffix == ".safetensors" else path.name
    with pytest.raises(IntegrityError, match=rf"artifact: .*{place}"):
        review.approve(draft, workspace, **BO)
    assert workspace.ledger.checkpoint().number == before
    assert alias(workspace, draft) is None
    assert review.state_of(draft, workspace).state is State.PENDING_REVIEW
    assert review.reject(draft, workspace, **BO).state is State.REJECTED
    version = workspace.registry.client.get_model_version(draft.split("/")[1], "1")
    assert version.tags["state"] == "rejected"
    assert "State: **rejected**" in version.description
    assert "Requested by: Dr\\. Ada" in version.description


def test_forged_labels_are_not_approved_until_they_are_repaired(
    draft: str, workspace: Workspace
) -> None:
    client, name = workspace.registry.client, draft.split("/")[1]
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    client.set_model_version_tag(name, "1", "purpose", "Anything at all.")
    with pytest.raises(IntegrityError, match=r"tag purpose: expected study.*--repair"):
        review.approve(draft, workspace, **BO)
    client.set_registered_model_alias(name, "approved", "1")
    with pytest.raises(IntegrityError, match="alias approved"):
        review.approve(draft, workspace, **BO)
    changes = review.repair_labels(draft, workspace)
    assert changes == (
        "tag purpose of the version: Anything at all. -> study",
        "alias approved: 1 -> nothing",
    )
    assert review.approve(draft, workspace, **BO).state is State.APPROVED


def test_a_step_forged_in_the_description_does_not_outlive_the_next(
    draft: str, workspace: Workspace
) -> None:
    client, name = workspace.registry.client, draft.split("/")[1]
    client.set_model_version_tag(name, "1", "requester", "Dr. Mallory")
    client.update_model_version(name, "1", "Requested by Dr. Mallory")
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    version = client.get_model_version(name, "1")
    assert version.tags["requester"] == "Dr. Ada"
    assert "Mallory" not in version.description


def test_the_alias_stands_for_what_was_approved_last(draft: str, workspace: Workspace) -> None:
    first, name = draft, draft.split("/")[1]
    second = copy_draft(workspace, first, model_name=name)
    for uri in (first, second):
        review.submit_for_review(uri, workspace, reviewer="Dr. Ada")
        review.approve(uri, workspace, **BO)
        assert alias(workspace, uri) == uri
    review.archive(first, workspace, reviewer="Dr. Ada")
    assert alias(workspace, first) == second
    review.archive(second, workspace, reviewer="Dr. Ada")
    assert alias(workspace, first) is None


def test_an_erased_version_cannot_be_reviewed(draft: str, workspace: Workspace) -> None:
    uri = draft
    review.submit_for_review(uri, workspace, reviewer="Dr. Ada")
    review.approve(uri, workspace, **BO)
    assert alias(workspace, draft) == uri
    workspace.ledger.record_keys.erase(workspace.registry.describe(uri).request_id)
    assert review.state_of(uri, workspace).state is State.ERASED
    with pytest.raises(IntegrityError, match="was erased"):
        review.archive(uri, workspace, reviewer="Dr. Ada")
    assert "alias approved: 1 -> nothing" in review.repair_labels(uri, workspace)
    assert alias(workspace, draft) is None


def test_an_erasure_is_the_last_step_of_a_history(draft: str, workspace: Workspace) -> None:
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    selection = ErasureSelection(model_uri=draft)
    outcome = erase(selection, workspace, by="Dr. Eve", reason="Consent withdrawn.")
    shown = review.state_of(draft, workspace)
    assert shown.state is State.ERASED
    assert [change.state for change in shown.history] == [State.PENDING_REVIEW, State.ERASED]
    last = shown.history[-1]
    assert (last.who, last.reason, last.entry, last.previous) == (
        "Dr. Eve",
        "Consent withdrawn.",
        outcome.entry,
        State.PENDING_REVIEW,
    )
    assert review.repair_labels(draft, workspace) == ()


class _EraserDiedError(Exception):
    pass


def die_before(step: str) -> Callable[[str, str], None]:
    def die(now: str, _request: str) -> None:
        if now == step:
            raise _EraserDiedError

    return die


def erase_until(step: str, model_uri: str, workspace: Workspace) -> None:
    """An erasure that ends before ``step``, as if its process were killed."""
    selection = ErasureSelection(model_uri=model_uri)
    with pytest.raises(_EraserDiedError):
        erase(selection, workspace, by="Dr. Eve", reason="Withdrawn.", progress=die_before(step))


def finish_erasure(model_uri: str, workspace: Workspace) -> None:
    erase(ErasureSelection(model_uri=model_uri), workspace, by="Dr. Eve", reason="Withdrawn.")


@pytest.mark.parametrize("step", ["uploads", "version", "artifacts", "outbox", "key"])
def test_a_version_whose_erasure_began_is_erased_for_the_reviewer(
    draft: str, workspace: Workspace, step: str
) -> None:
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    erase_until(step, draft, workspace)
    request_id = workspace.registry.describe(draft).request_id
    assert workspace.ledger.record_keys.get(request_id) is not None
    assert review.state_of(draft, workspace).state is State.ERASED
    with pytest.raises(IntegrityError, match="was erased"):
        review.approve(draft, workspace, **BO)
    review.repair_labels(draft, workspace)
    assert workspace.registry.describe(draft).state == "erased"
    finish_erasure(draft, workspace)
    assert review.repair_labels(draft, workspace) == ()


@pytest.mark.parametrize("act", ["approve", "repair"])
def test_an_erasure_between_looking_and_comparing_is_no_tampering(
    draft: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    module = review if act == "repair" else _version_checks
    compare = _version_checks.check_contents

    def compare_after_an_eraser(*args: Any) -> Any:
        monkeypatch.setattr(module, "check_contents", compare)
        erase_until("outbox", draft, workspace)
        return compare(*args)

    monkeypatch.setattr(module, "check_contents", compare_after_an_eraser)
    if act == "approve":
        with pytest.raises(IntegrityError, match="was erased"):
            review.approve(draft, workspace, **BO)
    else:
        review.repair_labels(draft, workspace)
    assert workspace.registry.describe(draft).state == "erased"
    finish_erasure(draft, workspace)


def erase_before_a_label(
    draft: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, *, of_run: bool
) -> None:
    """Let a whole erasure come between the comparing of labels and the writing of one."""
    write = labelling._write

    def write_after_an_eraser(client: Any, stored: Any, difference: Any) -> None:
        if difference.of_run is of_run:
            monkeypatch.setattr(labelling, "_write", write)
            finish_erasure(draft, workspace)
        write(client, stored, difference)

    monkeypatch.setattr(labelling, "_write", write_after_an_eraser)


@pytest.mark.parametrize("of_run", [False, True])
def test_labels_written_beside_an_eraser_do_not_bring_texts_back(
    draft: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, *, of_run: bool
) -> None:
    client, name = workspace.registry.client, draft.split("/")[1]
    before = client.get_model_version(name, "1").tags
    assert {"purpose", "classes", "weights_sha256"} <= set(before)
    for label in ("purpose", "classes", "weights_sha256"):
        client.set_model_version_tag(name, "1", label, "forged")
    client.set_tag(workspace.registry.describe(draft).run_id, "purpose", "forged")
    erase_before_a_label(draft, workspace, monkeypatch, of_run=of_run)
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    after = client.get_model_version(name, "1")
    assert after.tags["state"] == "erased"
    assert not {"purpose", "classes", "weights_sha256"} & set(after.tags)
    assert "Erased" in after.description
    assert review.repair_labels(draft, workspace) == ()


def test_what_the_ledger_does_not_know_is_not_reviewed(
    draft: str, workspace: Workspace, tmp_path: Path
) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/other.db") as other:
        unknowing = Workspace(workspace.settings, workspace.registry, other)
        with pytest.raises(UnknownNameError, match="not in the ledger"):
            review.submit_for_review(draft, unknowing, reviewer="Dr. Ada")
        assert review.state_of(draft, unknowing).state is State.DRAFT
        with pytest.raises(UnknownNameError, match="not in the ledger"):
            review.repair_labels(draft, unknowing)
    with pytest.raises(UnknownNameError):
        review.submit_for_review("models:/nobody/1", workspace, reviewer="Dr. Ada")


def test_a_stale_reviewer_is_refused(draft: str, workspace: Workspace) -> None:
    ledger = workspace.ledger
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    [entry] = ledger.entries("review", draft)
    for stale in (None, entry.number - 1):
        with pytest.raises(ConflictError, match="quicker"):
            ledger.append_after("review", draft, {}, expect_newest=stale)
    assert ledger.append_after("other", draft, {}, expect_newest=None).kind == "other"


def test_a_rival_whose_labels_are_still_to_follow_is_no_tampering(
    draft: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")

    def decide_after_a_rival(*args: Any) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(review, "follow_ledger", lambda *_: ())
            review.reject(draft, workspace, **BO)
        require_unaltered(*args)

    with monkeypatch.context() as patched:
        patched.setattr(review, "require_unaltered", decide_after_a_rival)
        with pytest.raises(ConflictError, match="somebody else was quicker"):
            review.approve(draft, workspace, reviewer="Dr. Cy", reason="Looks right.")
    assert review.state_of(draft, workspace).state is State.REJECTED
    with pytest.raises(RequestError, match="is rejected and cannot become approved"):
        review.approve(draft, workspace, reviewer="Dr. Cy", reason="Looks right.")
    assert review.repair_labels(draft, workspace) != ()


def test_of_two_reviewers_at_once_one_wins(draft: str, workspace: Workspace) -> None:
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    ready = threading.Barrier(4)
    outcomes: list[object] = []

    def decide(number: int) -> None:
        step = review.approve if number % 2 else review.reject
        ready.wait()
        try:
            outcomes.append(step(draft, workspace, reviewer=f"Dr. {number}", reason="x").state)
        except RequestError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if isinstance(outcome, State)]
    assert len(outcomes) == 4
    assert winners == [review.state_of(draft, workspace).state]
    assert len(workspace.ledger.entries("review", draft)) == 2
    assert workspace.registry.describe(draft).state == winners[0]
    assert alias(workspace, draft) == (draft if winners[0] is State.APPROVED else None)


def test_a_failing_registry_is_repaired_from_the_ledger(
    draft: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    with monkeypatch.context() as patched:

        def fail(*_: object, **__: object) -> None:
            raise OSError("gone")

        patched.setattr(workspace.registry.client, "set_model_version_tag", fail)
        with pytest.raises(StoreError, match=r"the decision is recorded \(ledger entry"):
            review.approve(draft, workspace, **BO)
    assert workspace.registry.describe(draft).state == "pending_review"
    assert alias(workspace, draft) is None
    changes = review.repair_all_labels(workspace)[draft]
    assert "state of the version: pending_review -> approved" in changes
    assert "alias approved: nothing -> 1" in changes
    assert review.repair_labels(draft, workspace) == ()
    assert alias(workspace, draft) == draft
    client = workspace.registry.client
    name = draft.split("/")[1]
    client.update_model_version(name, "1", "Approved by nobody.")
    client.set_model_version_tag(name, "1", "state", "archived")
    assert len(review.repair_labels(draft, workspace)) == 2


@hypothesis_settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=7))
def test_ledger_and_mlflow_agree_after_any_steps(
    synthesized: str, workspace: Workspace, steps: list[State]
) -> None:
    uri = copy_draft(workspace, synthesized)
    state, history = State.DRAFT, []
    for wanted in steps:
        if wanted in FOLLOWING[state]:
            STEPS[wanted](uri, workspace, **BO)
            history.append((state, wanted))
            state = wanted
        else:
            with pytest.raises(RequestError, match=state.words):
                STEPS[wanted](uri, workspace, **BO)
        _assert_agreement(workspace, uri, state, history)


def _assert_agreement(
    workspace: Workspace, uri: str, state: State, history: list[tuple[State, State]]
) -> None:
    found = review.state_of(uri, workspace)
    assert found.state is state
    assert [(change.previous, change.state) for change in found.history] == history
    records = [entry.record for entry in workspace.ledger.entries("review", uri)]
    assert [(record["from"], record["to"]) for record in records] == history
    version = workspace.registry.describe(uri)
    assert version.state == state
    stored = workspace.registry.client.get_model_version(version.model_name, version.version)
    assert f"State: **{state.words}**".replace("_", " ") in stored.description
    assert alias(workspace, uri) == (uri if state is State.APPROVED else None)
    assert review.repair_labels(uri, workspace) == ()
