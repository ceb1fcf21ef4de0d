"""The same request gives the same version, however often and however concurrently it is sent.

A request is accepted (checked, decoded, spooled, a row in the outbox), then processed under a lease
(synthesized, registered, recorded). Whatever ends a process at whatever point,
:func:`sgps.service.reconcile.reconcile` brings the request to its end.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sgps.audit import OutboxRow, RequestState
from sgps.errors import RequestError, StoreError
from sgps.service._accepting import accept
from sgps.service._content import GeneratorDigests, content_digest
from sgps.service._processing import LEASE_SECONDS, process_claimed
from sgps.service._spool import SpooledRequest
from sgps.service.identity import RequesterIdentity
from sgps.service.known_images import (
    find_known_images,
    findings_in_short,
    recorded_known_images,
    with_checks,
)
from sgps.service.provenance import FlowIdentity
from sgps.service.requests import SynthesisRequest
from sgps.service.support import ImageOrigin, with_origins
from sgps.service.synthesis import (
    StepClock,
    SynthesisReceipt,
    check_request,
    decode_support,
)
from sgps.service.workspace import Workspace

if TYPE_CHECKING:
    from sgps.synthesizer.synthesizer import Synthesizer

_POLL_SECONDS = 0.1
_CLAIM_EVERY = 10

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Submission:
    """How far a request is.

    Attributes
    ----------
    receipt: what came of it, once it is done; see :class:`SynthesisReceipt`.
    error: one line: why it failed, or why it waits for another try.
    created: whether this call made it; False where it had been sent before.
    warnings: what the checks found, with the names of files; of the call that submitted it.
    """

    request_id: str
    state: RequestState
    receipt: dict[str, Any] | None
    error: str
    created: bool = False
    warnings: tuple[str, ...] = ()


def submit(
    request: SynthesisRequest,
    workspace: Workspace,
    synthesizer: Synthesizer | None = None,
    *,
    key: str | None = None,
    identity: RequesterIdentity | None = None,
    origins: Mapping[str, ImageOrigin] | None = None,
    progress: Progress | None = None,
) -> Submission:
    """Accept a request: check it, decode its images once, and keep it until it is done.

    The registry is not asked, so that a request is accepted while it is down. A request that
    failed before is accepted anew.

    Parameters
    ----------
    synthesizer: the loaded generator that will be used; by default that of the settings.
    key: the caller's idempotency key; by default the content is the key.
    identity: who asks and how we know; by default the requester that the request names.
    origins: by its name in the request, the file that an image first came in, where the image here
        is a copy; it is what the record tells of.
    progress: called with the name of each step as it begins.

    Raises
    ------
    RequestError, ImageError: the request or one of its images is wrong.
    ConflictError: the key belongs to a request with another content.
    QueueFullError: too many requests wait.
    UnknownNameError: there is no such generator.
    IntegrityError: its description or its known classes cannot be read.
    StoreError: ledger or spool cannot be written; then nothing was accepted.
    """
    if identity is not None and identity.name != request.requester:
        request = SynthesisRequest.parse(
            {**request.to_record(), "requester": identity.name}, folder=request.folder
        )
    clock = StepClock(progress)
    checked = clock.time("check_request", lambda: check_request(request, workspace.settings))
    generator = (
        GeneratorDigests.of_loaded(synthesizer)
        if synthesizer
        else GeneratorDigests.of_settings(workspace.settings)
    )
    origins = origins or {}
    support = clock.time(
        "decode_support", lambda: decode_support(checked, workspace.settings, origins.keys())
    )
    support = with_origins(support, origins)
    known = clock.time(
        "find_known_images", lambda: find_known_images(request, support, workspace.ledger)
    )
    digest = content_digest(request, support, generator)
    spooled = SpooledRequest(
        request_id=uuid.uuid4().hex,
        requested=checked.requested,
        request=request,
        support=with_checks(support, known),
        identity=identity or RequesterIdentity(request.requester),
        key=key,
        content_sha256=digest,
        generator=workspace.settings.generator,
        generator_sha256=generator.tensors,
        known_classes_sha256=generator.known_classes,
        seconds=clock.seconds,
    )
    row, created = clock.time("accept_request", lambda: accept(spooled, workspace))
    if row.state is RequestState.DONE:
        found = recorded_known_images(row.request_id, workspace.ledger)
    else:
        found = findings_in_short(known)
    return _submission(row, created=created, warnings=support.warnings + found)


def process(
    request_id: str,
    workspace: Workspace,
    synthesizer: Synthesizer | None = None,
    *,
    flow: FlowIdentity | None = None,
    progress: Progress | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> Submission:
    """Bring an accepted request to its end, unless somebody else works on it or it is done.

    A store that cannot be used puts the request back, to be tried later; what the caller can mend
    fails it.

    Parameters
    ----------
    synthesizer: a loaded generator, taken where it is the one that the request was accepted for.
    flow: the flow run this belongs to.
    progress: called with the name of each step as it begins.
    lease_seconds: how long after the death of this process another may take the request.

    Raises
    ------
    UnknownNameError: there is no such request.
    StoreError: the ledger cannot be read or written.
    """
    clock = StepClock(progress)
    outbox = workspace.ledger.outbox
    row = clock.time("claim_request", lambda: outbox.claim(request_id, lease_seconds))
    if row is not None:
        process_claimed(
            row, workspace, synthesizer, flow=flow, clock=clock, lease_seconds=lease_seconds
        )
    return status(request_id, workspace)


def status(request_id: str, workspace: Workspace) -> Submission:
    """How far a request is.

    Raises
    ------
    UnknownNameError: there is no such request.
    StoreError: the ledger cannot be read.
    """
    return _submission(workspace.ledger.outbox.get(request_id))


def synthesize_once(
    request: SynthesisRequest,
    workspace: Workspace,
    synthesizer: Synthesizer | None = None,
    *,
    key: str | None = None,
    identity: RequesterIdentity | None = None,
    flow: FlowIdentity | None = None,
    progress: Progress | None = None,
) -> SynthesisReceipt:
    """Submit a request and process it, or wait for the process that does; the receipt.

    Sent again, the same request gives the same receipt.

    Raises
    ------
    RequestError, ImageError: the request or one of its images is wrong.
    ConflictError, QueueFullError: see :func:`submit`.
    UnknownNameError, IntegrityError: the generator of the settings cannot be loaded.
    StoreError: a store cannot be used; where the message says so, the request is accepted.
    """
    sent = submit(request, workspace, synthesizer, key=key, identity=identity, progress=progress)
    receipt = finish_request(sent.request_id, workspace, synthesizer, flow=flow, progress=progress)
    return replace(receipt, warnings=sent.warnings)


def finish_request(
    request_id: str,
    workspace: Workspace,
    synthesizer: Synthesizer | None = None,
    *,
    flow: FlowIdentity | None = None,
    progress: Progress | None = None,
) -> SynthesisReceipt:
    """Process an accepted request, or wait for the process that does; its receipt.

    Raises
    ------
    UnknownNameError: there is no such request.
    RequestError: the request failed.
    StoreError: a store cannot be used; the request goes on waiting.
    """
    told = _without_repeats(progress)
    for poll in itertools.count():
        if poll % _CLAIM_EVERY == 0:
            ended = process(request_id, workspace, synthesizer, flow=flow, progress=told)
        else:
            ended = status(request_id, workspace)
        if ended.receipt is not None:
            return SynthesisReceipt.from_dict(ended.receipt)
        if ended.state is RequestState.FAILED:
            raise RequestError(ended.error)
        if ended.state is RequestState.ACCEPTED and ended.error:
            raise pending_error(ended)
        time.sleep(_POLL_SECONDS)
    raise AssertionError("the loop has no end of its own")


def _without_repeats(progress: Progress | None) -> Progress:
    """``progress``, told nothing twice in a row: a request may be claimed in vain many times."""
    last = ""

    def tell(step: str) -> None:
        nonlocal last
        if progress is not None and step != last:
            progress(step)
        last = step

    return tell


def pending_error(submission: Submission) -> StoreError:
    """The error that says that a request is accepted, but waits for a store."""
    return StoreError(
        f"request {submission.request_id} is accepted but not done: {submission.error}",
        remedy="it is finished by sgps reconcile, or by sending it again",
    )


def _submission(
    row: OutboxRow, *, created: bool = False, warnings: tuple[str, ...] = ()
) -> Submission:
    return Submission(row.request_id, row.state, row.receipt, row.error, created, warnings)
