"""What is done with a request that was claimed: synthesize, register, record, clear away."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sgps.audit import ERASED_REASON, Outbox, OutboxRow, RequestState, seal_record
from sgps.errors import IntegrityError, RequestError, StoreError, UnknownNameError, UserError
from sgps.registry import ModelPackage, RegisteredVersion, RequestRun
from sgps.registry.contents import open_contents
from sgps.registry.finishing import finish_version
from sgps.service._content import GeneratorDigests
from sgps.service._file_digests import seal_files
from sgps.service._spool import Spool, SpooledRequest
from sgps.service._tombstones import erasure_entries
from sgps.service.generator_documents import read_documents
from sgps.service.known_images import findings_in_short
from sgps.service.provenance import FlowIdentity, RequestIdentity
from sgps.service.review import repair_labels
from sgps.service.synthesis import (
    LEDGER_KIND,
    StepClock,
    SynthesisReceipt,
    Synthesized,
    assemble_record,
    ledger_terms,
    load_synthesizer,
    synthesize_weights,
)
from sgps.service.workspace import Workspace
from sgps.settings import override_settings

if TYPE_CHECKING:
    from sgps.synthesizer.synthesizer import Synthesizer

LEASE_SECONDS = 30.0
MAX_CRASHES = 20


def process_claimed(
    row: OutboxRow,
    workspace: Workspace,
    synthesizer: Synthesizer | None,
    *,
    flow: FlowIdentity | None,
    clock: StepClock,
    lease_seconds: float,
) -> None:
    """Bring a request to its end under the lease that the caller took.

    Raises
    ------
    StoreError: the ledger cannot be written.
    """
    outbox = workspace.ledger.outbox
    try:
        with _Lease(outbox, row, lease_seconds):
            _Work(row, workspace, clock).do(synthesizer, flow)
    except StoreError as error:
        outbox.release(row.request_id, str(error), attempt=row.attempts)
    except UserError as error:
        give_up(row, str(error), workspace)
    except BaseException as error:
        reason = f"unexpected {type(error).__name__}: {error}"
        if row.crashes + 1 >= MAX_CRASHES:
            give_up(row, reason, workspace)
        else:
            outbox.release(row.request_id, reason, attempt=row.attempts, crashed=True)
        raise


def give_up(row: OutboxRow, reason: str, workspace: Workspace) -> None:
    """Fail a request that is still ours, and remove what was kept of it. Raises StoreError."""
    if workspace.ledger.outbox.fail(row.request_id, reason, attempt=row.attempts):
        remove_failed(row.request_id, workspace)


def remove_failed(request_id: str, workspace: Workspace) -> None:
    """Remove the images of a failed request, unless it was accepted again.

    Where somebody is just accepting a request, or a store cannot be used, they are left to the
    next sweep.
    """
    spool = Spool(workspace.settings.home_folder)
    with contextlib.suppress(StoreError), spool.sweeping() as alone:
        if alone and workspace.ledger.outbox.get(request_id).state is RequestState.FAILED:
            spool.remove(request_id)


class _Lease:
    """Keeps a claimed request for as long as the process lives and works on it."""

    def __init__(self, outbox: Outbox, row: OutboxRow, seconds: float) -> None:
        self._outbox = outbox
        self._row = row
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="sgps-lease", daemon=True)

    def _renew(self) -> None:
        while not self._over.wait(self._seconds / 3):
            try:
                self._outbox.renew(self._row.request_id, self._seconds, attempt=self._row.attempts)
            except StoreError:
                continue

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()


class _Work:
    """The steps of one claimed request."""

    def __init__(self, row: OutboxRow, workspace: Workspace, clock: StepClock) -> None:
        self._row = row
        self._workspace = workspace
        self._clock = clock
        self._spool = Spool(workspace.settings.home_folder)

    def do(self, synthesizer: Synthesizer | None, flow: FlowIdentity | None) -> None:
        """Synthesize, register, record, and remove the spooled request."""
        clock, workspace = self._clock, self._workspace
        clock.time("check_stores", lambda: workspace.registry.check_writable())
        spooled = clock.time("read_request", self._read)
        generator = clock.time("load_generator", lambda: self._generator(spooled, synthesizer))
        made = clock.time(
            "synthesize_weights",
            lambda: synthesize_weights(spooled.request, spooled.support, generator),
        )
        package = clock.time("assemble_record", lambda: self._package(spooled, made, flow))
        registered, audit = clock.time("register_model", lambda: self._register(package))
        clock.time("record_in_ledger", lambda: self._record(spooled, package, registered, audit))
        clock.time("finish_version", lambda: self._finish(package, registered, audit))
        clock.time("remove_request", lambda: self._spool.remove(self._row.request_id))
        clock.announce("done")

    def _read(self) -> SpooledRequest:
        if self._row.is_erased:
            raise RequestError(ERASED_REASON)
        owner = self._row.body.get("spool")
        if owner != self._spool.owner and not self._spool.holds(self._row.request_id):
            raise StoreError(
                f"the images of request {self._row.request_id} lie on another machine ({owner})",
                remedy="finish it there with: sgps reconcile",
            )
        return self._spool.read(self._row.request_id)

    def _generator(self, spooled: SpooledRequest, given: Synthesizer | None) -> Synthesizer:
        if given is not None and _is_the_one_of(spooled, given):
            return given
        wanted = override_settings(self._workspace.settings, generator=spooled.generator)
        loaded = load_synthesizer(wanted)
        if not _is_the_one_of(spooled, loaded):
            raise RequestError(
                f"the generator {spooled.generator}, or what it knows, is another one now",
                expected=f"the digest {spooled.generator_sha256[:12]}"
                f" and known classes {(spooled.known_classes_sha256 or 'none')[:12]}",
                remedy="send the request again",
            )
        return loaded

    def _package(
        self, spooled: SpooledRequest, made: Synthesized, flow: FlowIdentity | None
    ) -> ModelPackage:
        identity = RequestIdentity(
            self._row.request_id, spooled.identity, spooled.key, spooled.content_sha256
        )
        return assemble_record(
            spooled.request,
            spooled.support,
            made,
            identity,
            requested=spooled.requested,
            files=spooled.files,
            seconds={**spooled.seconds, **self._clock.seconds},
            flow=flow,
            generator_documents=read_documents(spooled.generator),
        )

    def _register(self, package: ModelPackage) -> tuple[RegisteredVersion, Mapping[str, Any]]:
        """Register, unless an earlier attempt came that far; what it left otherwise is removed."""
        registry = self._workspace.registry
        found: tuple[RegisteredVersion, Mapping[str, Any]] | None = None
        runs = registry.request_runs(package.request_id) if self._row.attempts > 1 else []
        for run in runs:
            audit = self._complete(run, package) if found is None else None
            if audit is not None and run.version is not None:
                found = run.version, audit
            else:
                registry.discard(run)
        if found is not None:
            return found
        made = registry.register(package, unfinished=True, progress=self._clock.announce)
        return made, package.audit

    def _complete(self, run: RequestRun, package: ModelPackage) -> Mapping[str, Any] | None:
        """The audit record of a version that is whole and has the same weights; else None."""
        if run.version is None:
            return None
        wanted = package.classifier.weights_sha256
        try:
            audit = self._workspace.registry.audit_record(run.run_id)
            stored = self._workspace.registry.load(run.version.model_uri, unfinished=True)
        except StoreError:
            raise
        except UserError:
            return None
        recorded = audit.get("outputs", {}).get("weights_sha256")
        return audit if stored.weights_sha256 == recorded == wanted else None

    def _record(
        self,
        spooled: SpooledRequest,
        package: ModelPackage,
        registered: RegisteredVersion,
        audit: Mapping[str, Any],
    ) -> None:
        """Append the entry and mark the request done; a version that came second is removed."""
        ledger = self._workspace.ledger
        receipt = SynthesisReceipt(
            request_id=package.request_id,
            **asdict(registered),
            weights_sha256=package.classifier.weights_sha256,
            seconds=round(self._clock.elapsed + sum(spooled.seconds.values()), 6),
            warnings=findings_in_short(spooled.support.checks),
        )
        try:
            key = ledger.record_keys.create(package.request_id)
            record = {
                "registered": asdict(registered),
                "audit": seal_record(audit, key),
                "files": self._seal_files(registered, key),
            }
            entry = ledger.outbox.finish(
                package.request_id,
                receipt.to_dict(),
                LEDGER_KIND,
                registered.model_uri,
                record,
                ledger_terms(package, registered),
                key=key,
            )
        except StoreError:
            raise
        except UserError as error:
            self._workspace.registry.remove(registered)
            raise IntegrityError(f"the record cannot be written: {error}") from error
        if entry.record["registered"]["run_id"] != registered.run_id:
            self._workspace.registry.remove(registered)

    def _finish(
        self, package: ModelPackage, registered: RegisteredVersion, audit: Mapping[str, Any]
    ) -> None:
        """Let the version be found; where that fails, reconciling does it."""
        with contextlib.suppress(StoreError, UnknownNameError):
            finish_version(self._workspace.registry, registered, package, audit)
            if erasure_entries(package.request_id, self._workspace.ledger):
                repair_labels(registered.model_uri, self._workspace)

    def _seal_files(self, registered: RegisteredVersion, key: bytes) -> dict[str, str]:
        with open_contents(self._workspace.registry, registered.run_id) as folder:
            if folder is None:
                raise StoreError(
                    f"the artifacts of {registered.model_uri} cannot be found again",
                    expected="what was just stored",
                    remedy="check that the artifact store is one and the same for all processes",
                )
            return seal_files(folder, key)


def _is_the_one_of(spooled: SpooledRequest, synthesizer: Synthesizer) -> bool:
    found = GeneratorDigests.of_loaded(synthesizer)
    same_classes = spooled.known_classes_sha256 in ("", found.known_classes)
    return found.tensors == spooled.generator_sha256 and same_classes
