"""What the ledger recorded of a registered version, in its plain and in its sealed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sgps.audit import Ledger, LedgerEntry, seal_digest
from sgps.errors import IntegrityError
from sgps.registry import VersionSummary
from sgps.service._tombstones import erasure_entries
from sgps.service.synthesis import LEDGER_KIND

if TYPE_CHECKING:
    from sgps.synthesizer.classifier import SynthesizedClassifier

_PLAIN, _SEALED = "_sha256", "_hmac"
_DIGESTS = ("weights", "description")


@dataclass(frozen=True)
class RecordedVersion:
    """The newest entry about the synthesis of one version.

    Attributes
    ----------
    model_uri: ``models:/name/version``.
    entry: number of the entry.
    request_id: of the request; the key behind sealed digests goes by it.
    run_id: the MLflow run that holds the artifacts.
    requester: who asked. login: of who typed the request on a command line, "" elsewhere.
    outputs: what the audit record says of the classifier.
    """

    model_uri: str
    entry: int
    request_id: str
    run_id: str
    requester: str
    outputs: Mapping[str, Any]
    login: str = ""

    @property
    def sealed(self) -> bool:
        """Whether its digests mean something only with the key of the record."""
        return f"weights{_SEALED}" in self.outputs

    def is_erased(self, ledger: Ledger) -> bool:
        """Whether the key of the record is gone, or its erasure was begun. Raises StoreError."""
        if self.sealed and ledger.record_keys.get(self.request_id) is None:
            return True
        return bool(erasure_entries(self.request_id, ledger))

    def weights_digest(self) -> dict[str, str]:
        """The digest of the weights, plain or sealed as it was recorded."""
        form = _SEALED if self.sealed else _PLAIN
        return {f"weights{form}": str(self.outputs[f"weights{form}"])}

    def require_match(self, classifier: SynthesizedClassifier, ledger: Ledger) -> None:
        """See that a classifier's bytes are those recorded.

        Raises
        ------
        IntegrityError: they are not, or the version was erased.
        StoreError: the ledger cannot be read.
        """
        found = {
            "weights": classifier.weights_sha256,
            "description": classifier.description_sha256,
        }
        if self.sealed:
            key = ledger.record_keys.get(self.request_id)
            if key is None:
                raise self.erased_error()
            found = {name: seal_digest(key, digest) for name, digest in found.items()}
        form = _SEALED if self.sealed else _PLAIN
        for name in _DIGESTS:
            recorded = str(self.outputs.get(name + form))
            if recorded != found[name]:
                raise IntegrityError(
                    f"{self.model_uri}: {name}{form} is {found[name][:12]}",
                    expected=f"{recorded[:12]} as the ledger recorded",
                    remedy="do not use this model; restore its artifacts or synthesize it again",
                )

    def erased_error(self) -> IntegrityError:
        """The error for a version that is erased, or about to be."""
        return IntegrityError(
            f"{self.model_uri} was erased", remedy="do not use any copy of it that is left"
        )


def find_recorded(version: VersionSummary, ledger: Ledger) -> RecordedVersion | None:
    """The newest entry of this very run; None where there is none. Raises StoreError."""
    for entry in reversed(ledger.entries(LEDGER_KIND, version.model_uri)):
        if entry.record["registered"]["run_id"] == version.run_id:
            return recorded_version(entry)
    return None


def recorded_version(entry: LedgerEntry) -> RecordedVersion:
    """What an entry about a synthesis says of its version. Raises KeyError on another record."""
    registered, audit = entry.record["registered"], entry.record["audit"]
    return RecordedVersion(
        model_uri=entry.subject,
        entry=entry.number,
        request_id=str(audit["request_id"]),
        run_id=str(registered["run_id"]),
        requester=str(audit["who"]["requester"]),
        outputs=audit["outputs"],
        login=str(audit["who"].get("login") or ""),
    )
