"""Searching the recorded models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from recorded_home import RecordedHome, copy_home

from sgps.errors import InputError, UnknownNameError
from sgps.service.erasure import ErasureSelection, erase
from sgps.service.record_search import KINDS, RecordQuery, require_kind, search_records
from sgps.service.review import submit_for_review
from sgps.service.workspace import Workspace, open_workspace
from sgps.synthesizer import Synthesizer


@pytest.fixture(scope="module")
def home(
    fresh_home: Path, generator: Synthesizer, tmp_path_factory: pytest.TempPathFactory
) -> RecordedHome:
    return copy_home(fresh_home, generator, tmp_path_factory.mktemp("search"))


@pytest.fixture(scope="module")
def workspace(home: RecordedHome) -> Iterator[Workspace]:
    with open_workspace(home.settings) as opened:
        submit_for_review(home.second.model_uri, opened, reviewer="Dr. Ada")
        erase(ErasureSelection(model_uri=home.third.model_uri), opened, by="E", reason="r")
        yield opened


def test_each_field_finds_its_models(workspace: Workspace, home: RecordedHome) -> None:
    first, second, third = (one.model_uri for one in (home.first, home.second, home.third))
    digest = home.digest("naevus-1")
    expected = {
        RecordQuery(): [first, second, third],
        RecordQuery(requester="Dr. Ada"): [first, second, third],
        RecordQuery(requester="Dr. Nobody"): [],
        RecordQuery(task="Second"): [second],
        RecordQuery(requester="dr.  ADA", task="sECOND"): [second],
        RecordQuery(requester="Dr. Ad"): [],
        RecordQuery(person="Person-NAEVUS-1"): [first],
        RecordQuery(state="draft"): [first],
        RecordQuery(state="pending_review"): [second],
        RecordQuery(state="erased"): [third],
        RecordQuery(state="approved"): [],
        RecordQuery(person="person-naevus-1"): [first],
        RecordQuery(image=digest): [first, second],
        RecordQuery(image=digest[:12]): [first, second],
        RecordQuery(image=digest[:8].upper()): [first, second],
        RecordQuery(image=digest[:40]): [first, second],
        RecordQuery(image=digest[1:12]): [],
        RecordQuery(image=str(home.image("naevus-1"))): [first, second],
        RecordQuery(image=digest[:8], task="First"): [first],
        RecordQuery(image=home.digest("wart-0")): [],
        RecordQuery(generator="0" * 64): [],
    }
    for query, models in expected.items():
        assert [one.model_uri for one in search_records(query, workspace)] == models, query
    generator = str(workspace.ledger.get(1).record["audit"]["generator"]["sha256"])
    assert len(search_records(RecordQuery(generator=generator), workspace)) == 3
    newest = search_records(RecordQuery(), workspace, limit=1)
    assert [one.model_uri for one in newest] == [third]


def test_an_image_is_found_by_the_ledger_not_by_tags(
    workspace: Workspace, home: RecordedHome
) -> None:
    client, second = workspace.registry.client, home.second
    client.set_model_version_tag(second.model_name, second.version, "image_hashes", "0" * 12)
    found = search_records(RecordQuery(image=home.digest("naevus-1")[:6]), workspace)
    assert [one.model_uri for one in found] == [home.first.model_uri, second.model_uri]
    assert search_records(RecordQuery(image="0" * 12), workspace) == []


def test_a_query_says_in_words_what_it_looks_for() -> None:
    assert str(RecordQuery()) == "at all"
    assert (
        str(RecordQuery(requester="x", state="draft")) == "for requester 'x' and for state 'draft'"
    )


def test_unknown_kinds_are_refused() -> None:
    for kind in KINDS:
        require_kind(kind)
    with pytest.raises(InputError, match=r"'nonsense'.*expected synthesize or review or access"):
        require_kind("nonsense")


def test_wrong_values_are_refused(workspace: Workspace) -> None:
    for query in (RecordQuery(state="odd"), RecordQuery(image="abc"), RecordQuery(image="no.png")):
        with pytest.raises(InputError):
            search_records(query, workspace)
    with pytest.raises(UnknownNameError):
        search_records(RecordQuery(generator="nosuch"), workspace)
