"""Review: the ledger decides, MLflow shows it, nobody judges their own request."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

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
from sgps.registry.states import FOLLOWING, State
from sgps.service import review
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


def test_altered_weights_are_not_approved(draft: str, workspace: Workspace) -> None:
    review.submit_for_review(draft, workspace, reviewer="Dr. Ada")
    (path,) = workspace.settings.artifact_folder.rglob("classifier.safetensors")
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    try:
        with pytest.raises(IntegrityError):
            review.approve(draft, workspace, **BO)
    finally:
        path.write_bytes(sound)
    assert review.state_of(draft, workspace).state is State.PENDING_REVIEW
    assert review.reject(draft, workspace, **BO).state is State.REJECTED


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


def test_what_the_ledger_does_not_know_is_not_reviewed(
    draft: str, workspace: Workspace, tmp_path: Path
) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/other.db") as other:
        unknowing = Workspace(workspace.settings, workspace.registry, other)
        with pytest.raises(UnknownNameError, match="not in the ledger"):
            review.submit_for_review(draft, unknowing, reviewer="Dr. Ada")
        assert review.state_of(draft, unknowing).state is State.DRAFT
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
    review.repair_labels(uri, workspace)  # the copies share a run, and so its labels
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
