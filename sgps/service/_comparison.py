"""All recorded versions beside those that the registry holds, while others may be at work.

Ledger, registry and artifacts cannot be read at one moment. Whatever differs is therefore looked at
again, until nothing about it changed between two looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sgps.audit import Ledger, LedgerEntry
from sgps.registry import ModelRegistry
from sgps.registry.contents import StoredVersion, open_contents
from sgps.registry.labelling import STATE_TAG, compare_labels, tombstone_labels
from sgps.registry.states import APPROVED_ALIAS
from sgps.registry.versions import UNFINISHED
from sgps.service._record_checks import Finding
from sgps.service._review_history import history_of, last_approval
from sgps.service._snapshot import Snapshot
from sgps.service._tombstones import epitaphs_of
from sgps.service._version_checks import (
    check_contents,
    check_labels,
    finding_about,
    label_findings,
)
from sgps.service.erasure import ErasureState
from sgps.service.synthesis import LEDGER_KIND

Progress = Callable[[int, int], None]

_MOST_LOOKS = 5
_FINISHING = timedelta(minutes=1)
"""How long after its entry a version may still be unfinished: somebody is about to finish it."""


@dataclass(frozen=True)
class Compared:
    """What differs; the versions that were compared, and those of them that are erased."""

    findings: tuple[Finding, ...]
    versions: int
    erased: tuple[str, ...]


class Comparison:
    """All recorded versions, aliases and the index, beside what they should be.

    Raises as :meth:`Snapshot.take`.
    """

    def __init__(self, registry: ModelRegistry, ledger: Ledger) -> None:
        self._registry = registry
        self._ledger = ledger
        self._seen = Snapshot.take(registry, ledger)
        self._versions: dict[int, list[Finding]] = {}
        self._aliases: dict[str, list[Finding]] = {}
        self._erased: dict[int, str] = {}
        self._compared: set[int] = set()

    def run(self, progress: Progress) -> Compared:
        """Compare everything. Raises StoreError."""
        entries = self._seen.syntheses
        for number, entry in enumerate(entries, start=1):
            self._versions[entry.number] = self._check_entry(entry)
            progress(number, len(entries))
        unknown = list(self._check_unknown())
        for model_name in {*self._seen.approved, *self._seen.reviewed_models}:
            self._aliases[model_name] = list(self._check_alias(model_name))
        for _ in range(_MOST_LOOKS):
            if not self._look_again(entries):
                break
        findings = [one for entry in entries for one in self._versions[entry.number]]
        aliases = [one for name in sorted(self._aliases) for one in self._aliases[name]]
        others = self._seen.index.check_others()
        erased = (self._erased[entry.number] for entry in entries if entry.number in self._erased)
        return Compared(
            (*findings, *unknown, *aliases, *others), len(self._compared), tuple(erased)
        )

    def _look_again(self, entries: list[LedgerEntry]) -> bool:
        """Whether something that differed had changed; it was compared anew then."""
        doubtful = [entry for entry in entries if self._versions[entry.number]]
        models = [name for name, findings in self._aliases.items() if findings]
        if not doubtful and not models:
            return False
        before, self._seen = self._seen, Snapshot.take(self._registry, self._ledger)
        now = self._seen
        changed = [
            entry
            for entry in doubtful
            if before.view_of_version(entry) != now.view_of_version(entry)
        ]
        for entry in changed:
            self._versions[entry.number] = self._check_entry(entry)
        moved = [name for name in models if before.view_of_alias(name) != now.view_of_alias(name)]
        for name in moved:
            self._aliases[name] = list(self._check_alias(name))
        return bool(changed or moved)

    def _check_entry(self, entry: LedgerEntry) -> list[Finding]:
        try:
            return self._check_version(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            place, found = f"ledger entry {entry.number}", f"none ({type(error).__name__})"
            return [
                finding_about(entry, "altered record", place, "the record of a synthesis", found)
            ]

    def _check_version(self, entry: LedgerEntry) -> list[Finding]:
        audit, registered = entry.record["audit"], entry.record["registered"]
        request_id = str(audit["request_id"])
        erasure = self._seen.erasures.get(request_id)
        self._compared.add(entry.number)
        if erasure is not None:
            return self._check_erased(entry, erasure)
        key = self._ledger.record_keys.get(request_id)
        if audit.get("sealed") and key is None:
            found = "none, and no entry about an erasure"
            return [
                finding_about(entry, "missing key", "record_keys", "the key of the record", found)
            ]
        stored = self._seen.stored.get(entry.subject)
        if stored is None or stored.run_id != registered["run_id"]:
            found = f"a version of run {stored.run_id}" if stored else "no such version"
            run = f"the version of run {registered['run_id']}"
            return [finding_about(entry, "missing version", "the registry", run, found)]
        checked = check_contents(self._registry, entry, key, self._seen.index)
        labels: list[Finding] = []
        if not _is_being_finished(entry, stored):
            history = history_of(self._seen.steps[entry.subject, stored.run_id])
            labels = check_labels(self._registry, entry, stored, checked.documents, history)
        return [*checked.findings, *labels, *checked.index]

    def _check_unknown(self) -> Iterator[Finding]:
        """Versions that the ledger does not know, also now that it is asked again."""
        runs = {_run_id(entry) for entry in self._seen.syntheses}
        for version in self._seen.stored.values():
            if version.run_id in runs or version.tags.get(STATE_TAG) == UNFINISHED:
                continue
            newer = self._ledger.entries(LEDGER_KIND, version.model_uri)
            if version.run_id not in map(_run_id, newer):
                yield Finding(
                    "unknown version",
                    version.model_uri,
                    "the ledger",
                    "an entry about its synthesis",
                    "none",
                )

    def _check_alias(self, model_name: str) -> Iterator[Finding]:
        """Whether the alias of a model stands for the version that was approved last."""
        found, expected = self._seen.approved.get(model_name), self._approved(model_name)
        if found != expected:
            yield Finding(
                "wrong state",
                f"models:/{model_name}",
                f"alias {APPROVED_ALIAS}",
                f"version {expected.version}" if expected else "no version",
                f"version {found.version}" if found else "no version",
            )

    def _approved(self, model_name: str) -> StoredVersion | None:
        approval = last_approval(self._seen.reviews, model_name)
        if approval is None or self._is_gone(approval.record):
            return None
        stored = self._seen.stored.get(approval.subject)
        run_id = approval.record.get("run_id")
        return stored if stored is not None and stored.run_id == run_id else None

    def _is_gone(self, review: Mapping[str, object]) -> bool:
        """Whether the version that an entry about a review tells of is erased, or lost its key."""
        request_id = str(review.get("request_id"))
        sealed = "weights_hmac" in review
        return request_id in self._seen.erasures or (
            sealed and self._ledger.record_keys.get(request_id) is None
        )

    def _check_erased(self, entry: LedgerEntry, erasure: ErasureState) -> list[Finding]:
        self._erased[entry.number] = entry.subject
        if not erasure.done:
            place, found = f"ledger entry {erasure.entry}", "only its beginning; run it again"
            expected = "an erasure that came to its end"
            return [finding_about(entry, "unfinished erasure", place, expected, found)]
        registered = entry.record["registered"]
        findings = list(self._seen.index.check_erased(entry))
        with open_contents(self._registry, registered["run_id"]) as folder:
            if folder is not None and any(path.is_file() for path in folder.rglob("*")):
                findings.append(
                    finding_about(entry, "not erased", "artifacts", "no files", "files")
                )
        if self._ledger.record_keys.get(erasure.request_id) is not None:
            findings.append(finding_about(entry, "not erased", "record_keys", "no key", "a key"))
        stored = self._seen.stored.get(entry.subject)
        if stored is not None and stored.run_id == registered["run_id"]:
            epitaphs = epitaphs_of(erasure.request_id, self._ledger)
            labels = tombstone_labels(entry.record["audit"], epitaphs)
            differences = compare_labels(self._registry, stored, labels)
            findings += label_findings(entry, differences)
        return findings


def _is_being_finished(entry: LedgerEntry, stored: StoredVersion) -> bool:
    """Whether its request was done just now; until it is finished nobody finds the version."""
    if stored.tags.get(STATE_TAG) != UNFINISHED:
        return False
    return datetime.now(UTC) - datetime.fromisoformat(entry.time) < _FINISHING


def _run_id(entry: LedgerEntry) -> str:
    registered = entry.record.get("registered")
    return str(registered.get("run_id")) if isinstance(registered, Mapping) else ""
