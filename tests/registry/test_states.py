"""Which state may follow which, and how a description shows them within MLflow's limits."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgps.audit import seal_record
from sgps.errors import RequestError, UnknownNameError
from sgps.registry import ModelPackage, ModelRegistry, RegisteredVersion
from sgps.registry._labels import (
    LONGEST_DESCRIPTION,
    VersionFacts,
    abstention_threshold,
    describe_version,
)
from sgps.registry._tags import KEPT_TAGS, search_tags
from sgps.registry.contents import find_stored
from sgps.registry.erasing import Epitaph
from sgps.registry.labelling import (
    Labels,
    compare_labels,
    label_version,
    point_approved_alias,
    record_labels,
    tombstone_labels,
)
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
def package(build_package: BuildPackage) -> ModelPackage:
    """With an audit record as a synthesis writes it."""
    plain = build_package()
    classifier = plain.classifier
    classes = [
        {
            "name": name,
            "images": [{"pixel_sha256": image.pixel_sha256} for image in plain.support_of(name)],
        }
        for name in plain.texts
    ]
    outputs = {
        "weights_sha256": classifier.weights_sha256,
        "architecture": classifier.architecture,
        "class_names": list(classifier.class_names),
        "details": classifier.details,
    }
    further = {
        "request_id": plain.request_id,
        "task": plain.task,
        "who": {"requester": plain.requester, "role": "steward", "authentication": "none"},
        "why": {"purpose": plain.purpose, "legal_basis": "Consent."},
        "inputs": dict(plain.audit["inputs"]) | {"classes": classes},
        "outputs": outputs,
    }
    return build_package(audit=dict(plain.audit) | further)


@pytest.fixture
def registered(registry: ModelRegistry, package: ModelPackage) -> RegisteredVersion:
    return registry.register(package)


@pytest.fixture
def labels(
    registry: ModelRegistry, registered: RegisteredVersion, package: ModelPackage
) -> Callable[..., Labels]:
    """What the version should show in a state, after these steps."""
    classes = [{"name": name, "description": text} for name, text in package.texts.items()]

    def build(state: State = State.DRAFT, history: tuple[StateChange, ...] = ()) -> Labels:
        texts = {"classes": classes}
        return record_labels(registry, registered.run_id, package.audit, texts, state, history)

    return build


def show(registry: ModelRegistry, labels: Labels) -> tuple[str, ...]:
    return label_version(registry, "skin-marks", "1", labels)


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


def test_what_is_registered_is_what_the_record_says(
    registry: ModelRegistry, package: ModelPackage, labels: Callable[..., Labels]
) -> None:
    stored = find_stored(registry, "skin-marks", "1")
    assert stored is not None
    assert compare_labels(registry, stored, labels()) == []
    assert stored.tags == search_tags(package) == labels().tags
    assert "Asymmetric\\." in stored.description
    assert show(registry, labels()) == ()


def test_labels_follow_the_steps_of_a_review(
    registry: ModelRegistry, registered: RegisteredVersion, labels: Callable[..., Labels]
) -> None:
    before = registry.client.get_model_version("skin-marks", "1").description
    assert "State: **draft**" in before
    assert show(registry, labels(State.APPROVED, CHANGES)) == (
        "state of the version: draft -> approved",
        "description of the version",
        "state of the run: draft -> approved",
        "description of the run",
    )
    stored = registry.client.get_model_version("skin-marks", "1")
    run = registry.client.get_run(registered.run_id)
    assert stored.tags["state"] == run.data.tags["state"] == "approved"
    assert stored.description == run.data.tags["mlflow.note.content"]
    assert "Dr\\. Bo" in stored.description
    assert show(registry, labels(State.APPROVED, CHANGES)) == ()
    show(registry, labels())
    assert registry.client.get_model_version("skin-marks", "1").description == before


def test_every_label_that_was_changed_is_named_and_mended(
    registry: ModelRegistry, registered: RegisteredVersion, labels: Callable[..., Labels]
) -> None:
    client, name = registry.client, "skin-marks"
    client.set_model_version_tag(name, "1", "purpose", "Other.")
    client.delete_model_version_tag(name, "1", "legal_basis")
    client.set_model_version_tag(name, "1", "image_hashes_2", "0" * 12)
    client.set_model_version_tag(name, "1", "my own note", "kept")
    client.update_model_version(name, "1", "# Approved by all")
    client.set_tag(registered.run_id, "requester", "Dr. Mallory")
    client.set_tag(registered.run_id, "mlflow.user", "Dr. Mallory")
    client.set_tag(registered.run_id, "mlflow.note.content", "Fine")
    stored = find_stored(registry, name, "1")
    assert stored is not None
    found = {one.where: one.values for one in compare_labels(registry, stored, labels())}
    assert found == {
        "tag purpose": ("To show that it works.", "Other."),
        "tag legal_basis": ("Consent.", "nothing"),
        "tag image_hashes_2": ("nothing", "0" * 12),
        "description": (labels().description.splitlines()[0], "# Approved by all"),
        "tag requester of the run": ("Dr. Ada", "Dr. Mallory"),
        "tag mlflow.user of the run": ("Dr. Ada", "Dr. Mallory"),
        "description of the run": (labels().description.splitlines()[0], "Fine"),
    }
    assert "tag purpose of the version: Other. -> To show that it works." in show(
        registry, labels()
    )
    mended = find_stored(registry, name, "1")
    assert mended is not None
    assert compare_labels(registry, mended, labels()) == []
    assert dict(mended.tags) == {**labels().tags, "my own note": "kept"}


def test_the_sealed_record_leaves_out_what_it_does_not_tell(
    registry: ModelRegistry, registered: RegisteredVersion, package: ModelPackage
) -> None:
    audit = seal_record(package.audit, b"k" * 32)
    partial = record_labels(registry, registered.run_id, audit, {}, State.REJECTED, CHANGES)
    assert not {"weights_sha256", "image_hashes"} & set(partial.tags)
    changed = show(registry, partial)
    assert "state of the version: draft -> rejected" in changed
    stored = registry.client.get_model_version("skin-marks", "1")
    assert stored.tags["weights_sha256"] == package.classifier.weights_sha256
    assert "State: **rejected**" in stored.description
    assert "Asymmetric" not in stored.description


def test_a_tombstone_is_compared_and_mended(
    registry: ModelRegistry, registered: RegisteredVersion, package: ModelPackage
) -> None:
    audit = seal_record(package.audit, b"k" * 32)
    epitaphs = [Epitaph("Dr. Eve", "Withdrawn.", "2030-01-02", number) for number in (8, 7)]
    tombstone = tombstone_labels(audit, epitaphs)
    show(registry, tombstone)
    stored = find_stored(registry, "skin-marks", "1")
    assert stored is not None
    assert set(stored.tags) == {*KEPT_TAGS, "state"}
    assert "entry 8" in stored.description
    registry.client.update_model_version("skin-marks", "1", epitaphs[1].to_markdown())
    older = find_stored(registry, "skin-marks", "1")
    assert older is not None
    assert compare_labels(registry, older, tombstone) == []
    registry.client.update_model_version("skin-marks", "1", "Never erased.")
    assert show(registry, tombstone) == ("description of the version",)


def test_a_deleted_run_keeps_its_labels(
    registry: ModelRegistry, registered: RegisteredVersion, labels: Callable[..., Labels]
) -> None:
    registry.client.delete_run(registered.run_id)
    assert show(registry, labels(State.ARCHIVED, CHANGES)) == (
        "state of the version: draft -> archived",
        "description of the version",
    )
    with pytest.raises(UnknownNameError, match="skin-marks/9"):
        label_version(registry, "skin-marks", "9", labels())


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
    registry: ModelRegistry, package: ModelPackage, labels: Callable[..., Labels]
) -> None:
    digest = package.support[-1].pixel_sha256[:12]
    show(registry, labels(State.ARCHIVED))
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
