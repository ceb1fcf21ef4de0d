"""What MLflow's python_function flavour calls: a classifier, checked against the ledger if it can.

``mlflow.pyfunc.load_model`` gives a loader nothing but a folder. The run in its ``MLmodel`` says
which version it is, and the settings of this process say which ledger knows it.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import yaml

from sgps.audit import Ledger, LedgerEntry
from sgps.errors import StoreError
from sgps.registry.pyfunc_loader import PyfuncClassifier
from sgps.registry.states import State
from sgps.service._recorded import recorded_version
from sgps.service.record_search import RecordStates
from sgps.service.synthesis import LEDGER_KIND
from sgps.settings import Settings, load_settings
from sgps.synthesizer.classifier import SynthesizedClassifier


class UnapprovedModelWarning(UserWarning):
    """A model was loaded that nobody approved, or that no ledger here knows."""


def check_loaded_files(folder: Path, classifier: SynthesizedClassifier, settings: Settings) -> str:
    """Why no decision should rest on a classifier loaded from ``folder``; "" where it is approved.

    Raises
    ------
    IntegrityError: its bytes are not those that the ledger recorded, or it was erased.
    """
    try:
        with Ledger.open(settings.resolved_ledger_url.get_secret_value(), writable=False) as ledger:
            entry = _entry_of_run(_run_id(folder), classifier, ledger)
            if entry is None:
                return "the ledger does not know this model: nobody can say how it was made"
            recorded_version(entry).require_match(classifier, ledger)
            state = State(RecordStates(ledger).of(entry))
    except StoreError:
        return "no ledger can be read here: neither approval nor origin of this model was checked"
    if state is State.APPROVED:
        return ""
    return f"{entry.subject} is not approved (state: {state.words}): rest no decision on it"


def _load_pyfunc(data_path: str) -> PyfuncClassifier:
    folder = Path(data_path)
    classifier = SynthesizedClassifier.load(folder)
    doubt = check_loaded_files(folder, classifier, load_settings())
    if doubt:
        warnings.warn(doubt, UnapprovedModelWarning, stacklevel=2)
    return PyfuncClassifier(classifier)


def _run_id(folder: Path) -> str:
    """The run in the ``MLmodel`` above ``data/classifier``; "" where there is none."""
    try:
        text = (folder.resolve().parents[1] / "MLmodel").read_text(encoding="utf-8")
        return str(yaml.safe_load(text)["run_id"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return ""


def _entry_of_run(
    run_id: str, classifier: SynthesizedClassifier, ledger: Ledger
) -> LedgerEntry | None:
    """The entry of that run; of an erased one the index knows nothing any more."""
    for entries in (
        ledger.find(weights=classifier.weights_sha256),
        ledger.entries(LEDGER_KIND),
    ):
        for entry in reversed(entries):
            registered = entry.record.get("registered")
            if isinstance(registered, dict) and registered.get("run_id") == run_id:
                return entry
    return None
