"""What ledger and registry tell of all recorded versions, read at about one moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sgps.audit import Ledger, LedgerEntry
from sgps.registry import ModelRegistry
from sgps.registry.contents import StoredVersion, list_versions
from sgps.registry.states import APPROVED_ALIAS
from sgps.service._index_checks import IndexChecks
from sgps.service._review_history import REVIEW_KIND, is_about_model
from sgps.service.erasure import ErasureState, erasure_states
from sgps.service.synthesis import LEDGER_KIND


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Both stores as they were read; they may have changed while they were.

    Attributes
    ----------
    syntheses, reviews: entries of the ledger, oldest first.
    steps: entries of ``reviews`` by subject and run.
    erasures: by request.
    index: the ledger's index. stored: versions of the registry by address; read last.
    """

    syntheses: list[LedgerEntry]
    reviews: list[LedgerEntry]
    steps: Mapping[tuple[str, str], list[LedgerEntry]]
    erasures: Mapping[str, ErasureState]
    index: IndexChecks
    stored: Mapping[str, StoredVersion]

    @classmethod
    def take(cls, registry: ModelRegistry, ledger: Ledger) -> Snapshot:
        """Read both.

        Raises
        ------
        IntegrityError: an entry cannot be read.
        StoreError: ledger or registry cannot be read.
        """
        syntheses = ledger.entries(LEDGER_KIND)
        erasures = erasure_states(ledger)
        index = IndexChecks(ledger, syntheses)
        reviews = ledger.entries(REVIEW_KIND)
        steps: dict[tuple[str, str], list[LedgerEntry]] = defaultdict(list)
        for entry in reviews:
            steps[entry.subject, str(entry.record.get("run_id"))].append(entry)
        stored = {version.model_uri: version for version in list_versions(registry)}
        return cls(syntheses, reviews, steps, erasures, index, stored)

    def view_of_version(self, entry: LedgerEntry) -> tuple[object, ...]:
        """What a comparison of the recorded version depends on and honest work changes."""
        steps = [one.number for one in self.reviews if one.subject == entry.subject]
        audit = entry.record.get("audit")
        request_id = str(audit.get("request_id")) if isinstance(audit, Mapping) else ""
        return steps, self.erasures.get(request_id), self.stored.get(entry.subject)

    def view_of_alias(self, model_name: str) -> tuple[object, ...]:
        """What a comparison of a model's alias depends on and honest work changes."""
        reviews = [one for one in self.reviews if is_about_model(one, model_name)]
        erasures = [self.erasures.get(str(one.record.get("request_id"))) for one in reviews]
        return [one.number for one in reviews], erasures, self.approved.get(model_name)

    @cached_property
    def approved(self) -> dict[str, StoredVersion]:
        """The version that the alias ``approved`` of each model stands for."""
        return {
            version.model_name: version
            for version in self.stored.values()
            if APPROVED_ALIAS in version.aliases
        }

    @cached_property
    def reviewed_models(self) -> set[str]:
        """Names of the models of which a version was ever reviewed."""
        return {entry.subject.partition("/")[2].partition("/")[0] for entry in self.reviews}
