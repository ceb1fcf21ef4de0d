"""Loading a registered model, with what the ledger says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sgps.errors import IntegrityError
from sgps.registry import VersionSummary
from sgps.registry.states import APPROVED_ALIAS, State
from sgps.service._recorded import RecordedVersion, find_recorded
from sgps.service._review_history import recorded_state
from sgps.service.workspace import Workspace

if TYPE_CHECKING:
    from sgps.synthesizer.classifier import SynthesizedClassifier


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A classifier in memory, checked against the ledger.

    ``recorded`` and ``state`` are None where the ledger does not know the version.
    """

    version: VersionSummary
    recorded: RecordedVersion | None
    state: State | None
    classifier: SynthesizedClassifier

    @property
    def abstention_threshold(self) -> float | None:
        """Probability below which the classifier is not sure; None where it has no threshold."""
        found = self.classifier.details.get("abstention_threshold")
        return None if found is None else float(found)

    @property
    def foreign_margin(self) -> float | None:
        """Margin below which an image is foreign to the task; None where none could be told."""
        found = self.classifier.details.get("foreign_margin")
        return None if found is None else float(found)


def load_model(model_uri: str, workspace: Workspace) -> LoadedModel:
    """Load the model of an address, if its bytes are those recorded.

    Raises
    ------
    UnknownNameError: there is no such model.
    IntegrityError: the bytes are not those that the ledger recorded, the version was erased, or
        the alias ``approved`` stands for a version that is not.
    StoreError: ledger or registry cannot be read.
    """
    version = workspace.registry.describe(model_uri)
    recorded = find_recorded(version, workspace.ledger)
    if recorded is not None and recorded.is_erased(workspace.ledger):
        raise recorded.erased_error()
    classifier = workspace.registry.load(version.model_uri)
    return check_loaded(model_uri, version, recorded, classifier, workspace)


def check_loaded(
    model_uri: str,
    version: VersionSummary,
    recorded: RecordedVersion | None,
    classifier: SynthesizedClassifier,
    workspace: Workspace,
) -> LoadedModel:
    """See that a classifier in memory may answer for ``model_uri`` now. Raises as load_model."""
    state = None
    if recorded is not None:
        recorded.require_match(classifier, workspace.ledger)
        state = recorded_state(version, recorded, workspace.ledger).state
        if state is State.ERASED:
            raise recorded.erased_error()
    if model_uri.endswith(f"@{APPROVED_ALIAS}") and state is not State.APPROVED:
        raise IntegrityError(
            f"{model_uri} stands for version {version.version}, which is"
            f" {state.words if state else 'not in the ledger'}",
            expected="the version that was approved last",
            remedy=f"run: sgps review show {version.model_uri} --repair",
        )
    return LoadedModel(version, recorded, state, classifier)


def unapproved_warning(loaded: LoadedModel) -> str:
    """One line about a model that nobody approved; empty for one that is approved."""
    uri = loaded.version.model_uri
    if loaded.state is None:
        return f"{uri} is not in the ledger: nobody can say how it was made"
    if loaded.state is State.APPROVED:
        return ""
    return f"{uri} is not approved (state: {loaded.state.words}): rest no decision on it"
