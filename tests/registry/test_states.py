"""Which state may follow which, and how a description shows them within MLflow's limits."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgps.errors import RequestError, UnknownNameError
from sgps.registry import ModelPackage, ModelRegistry, RegisteredVersion
from sgps.registry._labels import (
    LONGEST_DESCRIPTION,
    VersionFacts,
    abstention_threshold,
    describe_version,
    search_tags,
)
from sgps.registry.labelling import label_version, point_approved_alias
from sgps.registry.states import FOLLOWING, State, StateChange, require_transition

BuildPackage = Callable[..., ModelPackage]
EVIL = "<img src=x onerror=alert(1)> [a](javascript:alert(1)) | **b** \n # c"
CHANGES = (
    StateChange(State.PENDING_REVIEW, "Dr. Ada", "", "2030-01-02T03:04:05.000+00:00", 2),
    StateChange(
        State.APPROVED, "Dr. Bo", EVIL, "2030-01-03T03:04:05.000+00:00", 3, State.PENDING_REVIEW
    ),
)


@pytest.fixture
def registered(registry: ModelRegistry, build_package: BuildPackage) -> RegisteredVersion:
    package = build_package()
    images = [
        {"name": name, "images": [{} for _ in package.support_of(name)]}
        for name in package.classifier.class_names
    ]
    inputs = dict(package.audit["inputs"]) | {"classes": images}
    outputs = {"details": package.classifier.details}
    audit = dict(package.audit) | {"inputs": inputs, "outputs": outputs}
    return registry.register(build_package(audit=audit))


def test_every_state_says_what_may_follow() -> None:
    assert set(FOLLOWING) == set(State)
    for current, wanted in itertools.product(State, State):
        if wanted in FOLLOWING[current]:
            require_transition("models:/a/1", current, wanted)
        else:
            with pytest.raises(RequestError, match=current.words) as caught:
                require_transition("models:/a/1", current, wanted)
            assert all(state.words in str(caught.value) for state in FOLLOWING[current])


def test_review_neither_starts_again_nor_erases() -> None:
    following = set(itertools.chain.from_iterable(FOLLOWING.values()))
    assert following.isdisjoint({State.DRAFT, State.ERASED})
    assert FOLLOWING[State.ARCHIVED] == ()


def facts(**changes: object) -> VersionFacts:
    known = {
        "task": "Moles", "requester": "Dr. Ada", "purpose": "a study", "request_id": "ab" * 16,
        "generator": "default", "generator_sha256": "c" * 64, "weights_sha256": "d" * 64,
        "architecture": "net", "classes": (("naevus", 2, "Even."),),
    }  # fmt: skip
    return VersionFacts(**(known | changes))  # type: ignore[arg-type]


def test_a_description_shows_state_and_history_escaped() -> None:
    shown = facts(
        task=EVIL, role="steward", authentication="basic", legal_basis=EVIL,
        abstention_threshold=0.61, warnings=2,
    )  # fmt: skip
    text = describe_version(shown, State.APPROVED, CHANGES, run_id="r", experiment_id="1")
    assert "<img" not in text
    assert "](javascript" not in text
    assert "State: **approved**, since 2030-01-03 03:04 UTC" in text
    assert "steward, signed in by basic" in text
    assert "Not sure below a probability of 0.61" in text
    rows = [line for line in text.splitlines() if line.startswith("| 2030")]
    assert [row.split(" | ")[1:4] for row in rows] == [
        ["Dr\\. Ada", "draft", "pending review"],
        ["Dr\\. Bo", "pending review", "approved"],
    ]


@given(
    text=st.text(max_size=9_000),
    classes=st.lists(st.tuples(st.text(max_size=80), st.integers(1, 9), st.text()), max_size=60),
)
def test_a_description_fits_whatever_is_in_it(
    text: str, classes: list[tuple[str, int, str]]
) -> None:
    shown = facts(task=text, requester=text, purpose=text, legal_basis=text, classes=tuple(classes))
    change = StateChange(State.ARCHIVED, text, text, "2030-01-02T03:04", 9)
    description = describe_version(
        shown, State.ARCHIVED, (change,) * 3, run_id="r" * 32, experiment_id="1"
    )
    assert len(description) <= LONGEST_DESCRIPTION
    assert "archived" in description


def test_the_threshold_is_found_where_it_is_known() -> None:
    assert abstention_threshold({}) is None
    assert abstention_threshold({"abstention_threshold": 0.4}, {}) == 0.4
    assert abstention_threshold({}, {"calibration": {"abstention_threshold": 0.3}}) == 0.3
    assert abstention_threshold({"abstention_threshold": None}) is None


def test_every_image_hash_is_in_a_tag_whole(build_package: BuildPackage) -> None:
    package = build_package()
    first = package.support[0]
    many = tuple(
        type(first)(first.label, "a", first.pixels, "b", f"{n:064x}"[::-1], "c")
        for n in range(1, 700)
    )
    tags = search_tags(build_package(support=many))
    found = " ".join(tags[name] for name in tags if name.startswith("image_hashes")).split()
    assert found == [image.pixel_sha256[:12] for image in many]
    assert all(len(value) <= 4_000 for value in tags.values())


def test_labels_are_made_from_the_registry_alone(
    registry: ModelRegistry, registered: RegisteredVersion
) -> None:
    version = registry.describe(registered.model_uri)
    before = registry.client.get_model_version("skin-marks", "1").description
    assert "State: **draft**" in before
    changed = label_version(registry, version, State.APPROVED, CHANGES)
    assert changed == (
        "state of the version: draft -> approved",
        "description of the version",
        "state of the run: draft -> approved",
    )
    stored = registry.client.get_model_version("skin-marks", "1")
    run = registry.client.get_run(registered.run_id)
    assert stored.tags["state"] == run.data.tags["state"] == "approved"
    assert stored.description == run.data.tags["mlflow.note.content"]
    assert "Dr\\. Bo" in stored.description
    assert "Asymmetric\\." in stored.description
    assert label_version(registry, version, State.APPROVED, CHANGES) == ()
    label_version(registry, version, State.DRAFT, ())
    assert registry.client.get_model_version("skin-marks", "1").description == before


def test_labels_outlive_the_files_of_the_run(
    registry: ModelRegistry, registered: RegisteredVersion, artifact_folder: object
) -> None:
    from pathlib import Path

    for path in Path(str(artifact_folder)).rglob("*.json"):
        if path.name in ("texts.json", "audit.json"):
            path.unlink()
    label_version(registry, registry.describe(registered.model_uri), State.ERASED, ())
    text = registry.client.get_model_version("skin-marks", "1").description
    assert "State: **erased**" in text
    assert "Asymmetric" not in text
    registry.client.delete_run(registered.run_id)
    label_version(registry, registry.describe(registered.model_uri), State.ARCHIVED, ())


def test_the_alias_points_and_is_taken_away(
    registry: ModelRegistry, registered: RegisteredVersion
) -> None:
    assert point_approved_alias(registry, "skin-marks", None) == ()
    assert point_approved_alias(registry, "skin-marks", "1") == ("alias approved: nothing -> 1",)
    assert registry.describe("models:/skin-marks@approved").version == "1"
    assert point_approved_alias(registry, "skin-marks", "1") == ()
    assert point_approved_alias(registry, "skin-marks", None) == ("alias approved: 1 -> nothing",)
    with pytest.raises(UnknownNameError):
        registry.describe("models:/skin-marks@approved")


def test_versions_are_found_by_what_an_auditor_asks_for(
    registry: ModelRegistry, registered: RegisteredVersion, build_package: BuildPackage
) -> None:
    digest = build_package().support[-1].pixel_sha256[:12]
    label_version(registry, registry.describe(registered.model_uri), State.ARCHIVED, ())
    for tags in (
        {"requester": "Dr. Ada"}, {"task": "Skin marks"}, {"state": "archived"},
        {"generator": "untrained"},
    ):  # fmt: skip
        assert [found.version for found in registry.search(tags=tags)] == ["1"]
    assert registry.search(tags={"state": "draft"}) == []
    for search in (registry.client.search_model_versions, _search_runs(registry)):
        assert len(search(f"tags.image_hashes LIKE '%{digest}%'")) == 1
        assert len(search("tags.image_hashes LIKE '%000000000000%'")) == 0


def _search_runs(registry: ModelRegistry) -> Callable[[str], list[object]]:
    return lambda query: registry.client.search_runs([registry._experiment_id], query)
