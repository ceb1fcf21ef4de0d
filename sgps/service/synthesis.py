"""From a request to a registered, recorded classifier; each step can be called alone."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from sgps.audit import Ledger, LedgerEntry
from sgps.errors import RequestError
from sgps.registry import (
    ModelPackage,
    ModelRegistry,
    RegisteredVersion,
    SupportImage,
    support_artifact_names,
)
from sgps.service.provenance import (
    FlowIdentity,
    GeneratorIdentity,
    SynthesisTimes,
    build_audit_record,
)
from sgps.service.requests import SynthesisRequest
from sgps.service.support import DecodedSupport, SupportPaths, find_support, read_support
from sgps.service.workspace import Workspace, image_limits
from sgps.settings import Settings
from sgps.synthesizer.classifier import SynthesizedClassifier
from sgps.synthesizer.synthesizer import Synthesizer
from sgps.synthesizer.task import ClassSupport, Task

LEDGER_KIND = "synthesize"

Result = TypeVar("Result")


@dataclass(frozen=True)
class CheckedRequest:
    """A request that was found sound, with the id and time it got, and where its images lie."""

    request_id: str
    requested: str
    request: SynthesisRequest
    paths: SupportPaths


@dataclass(frozen=True, eq=False)
class Synthesized:
    """A classifier, the generator it comes from, and when it was done (UTC, ISO 8601)."""

    classifier: SynthesizedClassifier
    generator: GeneratorIdentity
    synthesized: str


@dataclass(frozen=True)
class SynthesisReceipt:
    """What the requester gets; ``seconds`` is the time from request to record."""

    request_id: str
    model_name: str
    version: str
    model_uri: str
    tracking_uri: str
    run_id: str
    weights_sha256: str
    seconds: float
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {**asdict(self), "warnings": list(self.warnings)}


def synthesize_request(
    request: SynthesisRequest,
    workspace: Workspace,
    synthesizer: Synthesizer | None = None,
    *,
    flow: FlowIdentity | None = None,
    progress: Callable[[str], None] | None = None,
) -> SynthesisReceipt:
    """Check, decode, synthesize, register and record ``request``.

    On any error nothing is left behind: no version, no run, no ledger entry.

    Parameters
    ----------
    synthesizer: a loaded generator; by default that of the settings.
    flow: the flow run this belongs to.
    progress: called with the name of each step as it begins.

    Raises
    ------
    RequestError, ImageError: the request or one of its images is wrong.
    UnknownNameError, IntegrityError: the generator of the settings cannot be loaded.
    StoreError: ledger or registry cannot be written.
    """
    clock = _Clock(progress)
    checked = clock.time("check_request", lambda: check_request(request, workspace.settings))
    clock.time("check_stores", workspace.check_writable)
    support = clock.time("decode_support", lambda: decode_support(checked, workspace.settings))
    generator = synthesizer or clock.time(
        "load_generator", lambda: load_synthesizer(workspace.settings)
    )
    made = clock.time("synthesize_weights", lambda: synthesize_weights(checked, support, generator))
    package = clock.time(
        "assemble_record",
        lambda: assemble_record(checked, support, made, seconds=clock.seconds, flow=flow),
    )
    registered = clock.time("register_model", lambda: register_model(package, workspace.registry))
    clock.time(
        "record_in_ledger",
        lambda: record_in_ledger(package, registered, workspace.ledger, workspace.registry),
    )
    return SynthesisReceipt(
        request_id=checked.request_id,
        model_name=registered.model_name,
        version=registered.version,
        model_uri=registered.model_uri,
        tracking_uri=registered.tracking_uri,
        run_id=registered.run_id,
        weights_sha256=made.classifier.weights_sha256,
        seconds=round(clock.elapsed, 6),
        warnings=support.warnings,
    )


def check_request(request: SynthesisRequest, settings: Settings) -> CheckedRequest:
    """Check what depends on settings and files, and give the request its id.

    Raises
    ------
    RequestError: a text is too long, a path leaves the folder, or a file is not there.
    """
    for number, item in enumerate(request.classes):
        if len(item.description) > settings.max_text_characters:
            raise RequestError(
                f"classes[{number}].description: {len(item.description):,} characters",
                expected=f"at most {settings.max_text_characters:,} characters",
                remedy="shorten it",
            )
    return CheckedRequest(uuid.uuid4().hex, _now(), request, find_support(request))


def decode_support(checked: CheckedRequest, settings: Settings) -> DecodedSupport:
    """Decode every image of a checked request. Raises ImageError, RequestError."""
    return read_support(checked.request, checked.paths, image_limits(settings))


def load_synthesizer(settings: Settings) -> Synthesizer:
    """Load the generator that the settings name. Raises UnknownNameError, IntegrityError."""
    return Synthesizer.load(
        settings.generator, device=settings.device, allow_downloads=settings.allow_downloads
    )


def synthesize_weights(
    checked: CheckedRequest, support: DecodedSupport, synthesizer: Synthesizer
) -> Synthesized:
    """Synthesize every weight of the classifier. Raises RequestError."""
    classes = zip(checked.request.classes, support.images, strict=True)
    task = Task(
        checked.request.task,
        tuple(
            ClassSupport(item.name, tuple(image.pixels for _, image in images), item.description)
            for item, images in classes
        ),
    )
    generator = GeneratorIdentity(
        name=synthesizer.generator_name,
        sha256=synthesizer.generator_sha256,
        device=str(synthesizer.device),
        lineage=synthesizer.lineage,
    )
    return Synthesized(synthesizer.synthesize(task), generator, _now())


def assemble_record(
    checked: CheckedRequest,
    support: DecodedSupport,
    made: Synthesized,
    *,
    seconds: dict[str, float] | None = None,
    flow: FlowIdentity | None = None,
) -> ModelPackage:
    """Join classifier, support images, texts and audit record into what is registered."""
    request = checked.request
    named = list(zip(request.classes, support.images, strict=True))
    digests = {item.name: [image.pixel_sha256 for _, image in images] for item, images in named}
    artifacts = support_artifact_names(digests)
    audit = build_audit_record(
        request_id=checked.request_id,
        request=request,
        support=support,
        artifacts=artifacts,
        classifier=made.classifier,
        generator=made.generator,
        times=SynthesisTimes(checked.requested, made.synthesized, dict(seconds or {})),
        flow=flow or FlowIdentity(),
    )
    images = tuple(
        SupportImage(
            item.name, given, image.pixels, artifact, image.pixel_sha256, image.file_sha256
        )
        for item, decoded in named
        for (given, image), artifact in zip(decoded, artifacts[item.name], strict=True)
    )
    return ModelPackage(
        request_id=checked.request_id,
        task=request.task,
        requester=request.requester,
        purpose=request.purpose,
        classifier=made.classifier,
        support=images,
        texts={item.name: item.description for item in request.classes},
        request=request.to_record(),
        audit=audit,
    )


def register_model(package: ModelPackage, registry: ModelRegistry) -> RegisteredVersion:
    """Register the next version of the task's model. Raises StoreError, leaving nothing."""
    return registry.register(package)


def record_in_ledger(
    package: ModelPackage, registered: RegisteredVersion, ledger: Ledger, registry: ModelRegistry
) -> LedgerEntry:
    """Append the act to the ledger; where that fails, the version is taken back.

    Raises
    ------
    StoreError: the ledger cannot be written.
    """
    record = {"registered": asdict(registered), "audit": dict(package.audit)}
    terms = {
        "request_id": package.request_id,
        "model_name": registered.model_name,
        "version": registered.version,
        "requester": package.requester,
        "task": package.task,
        "generator": package.generator_sha256,
        "weights": package.classifier.weights_sha256,
        "image": [image.pixel_sha256 for image in package.support],
    }
    try:
        return ledger.append(LEDGER_KIND, registered.model_uri, record, terms=terms)
    except BaseException:
        registry.remove(registered)
        raise


class _Clock:
    """Seconds of each step, and of all since the beginning."""

    def __init__(self, progress: Callable[[str], None] | None) -> None:
        self._started = time.perf_counter()
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self._started

    def time(self, step: str, act: Callable[[], Result]) -> Result:
        if self._progress is not None:
            self._progress(step)
        began = time.perf_counter()
        result = act()
        self.seconds[step] = time.perf_counter() - began
        return result


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
