"""MLflow's own loader: what the ledger says of a model, whoever loads it."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from recorded_home import RecordedHome, copy_home

from sgps.errors import IntegrityError
from sgps.service.erasure import ErasureSelection, erase
from sgps.service.pyfunc_loader import UnapprovedModelWarning
from sgps.service.review import approve, submit_for_review
from sgps.service.verification import verify_records
from sgps.service.workspace import Workspace, open_workspace
from sgps.synthesizer import Synthesizer


@pytest.fixture
def home(
    fresh_home: Path, generator: Synthesizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RecordedHome:
    """A home with three recorded models, which is that of this process."""
    found = copy_home(fresh_home, generator, tmp_path)
    monkeypatch.setenv("SGPS_HOME", str(found.settings.home_folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", found.settings.resolved_tracking_uri)
    return found


@pytest.fixture
def workspace(home: RecordedHome) -> Iterator[Workspace]:
    with open_workspace(home.settings) as opened:
        yield opened


def load(address: str) -> Any:
    return mlflow.pyfunc.load_model(address)


def test_a_draft_warns_and_an_approved_version_does_not(
    home: RecordedHome, workspace: Workspace
) -> None:
    uri = home.first.model_uri
    with pytest.warns(UnapprovedModelWarning, match=f"{uri} is not approved .state: draft"):
        load(uri)
    assert verify_records(workspace).findings == ()
    submit_for_review(uri, workspace, reviewer="Dr. Ada")
    approve(uri, workspace, reviewer="Dr. Bo", reason="Looked at it.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load(uri)
    assert loaded.get_raw_model().weights_sha256 == home.first.weights_sha256


def test_other_weights_are_refused_though_their_seal_is_whole(home: RecordedHome) -> None:
    for name in ("classifier.safetensors", "classifier.json"):
        place = f"model/data/classifier/{name}"
        other = home.artifacts(home.third) / place
        (home.artifacts(home.first) / place).write_bytes(other.read_bytes())
    with pytest.raises(IntegrityError, match="as the ledger recorded"):
        load(home.first.model_uri)


def test_a_copy_of_what_was_erased_is_refused(
    home: RecordedHome, workspace: Workspace, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(home.artifacts(home.third) / "model", copy)
    chosen = ErasureSelection(model_uri=home.third.model_uri)
    erase(chosen, workspace, by="Dr. Eve", reason="Consent was withdrawn.")
    with pytest.raises(IntegrityError, match="was erased"):
        load(str(copy))


def test_where_the_ledger_does_not_know_it(
    home: RecordedHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = home.artifacts(home.first) / "model"
    monkeypatch.setenv("SGPS_HOME", str(tmp_path / "another"))
    with pytest.warns(UnapprovedModelWarning, match="no ledger can be read here"):
        load(str(copy))
    open_workspace(home.settings.model_copy(update={"home": tmp_path / "another"})).close()
    with pytest.warns(UnapprovedModelWarning, match="does not know this model"):
        load(str(copy))
