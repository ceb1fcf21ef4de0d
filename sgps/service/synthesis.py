"""From a request to a registered, recorded classifier; each step can be called alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sgps.datasets.decoding import perceptual_hash
from sgps.errors import RequestError
from sgps.registry import (
    ModelPackage,
    RegisteredVersion,
    SupportImage,
    support_artifact_names,
)
from sgps.service.provenance import (
    FlowIdentity,
    GeneratorIdentity,
    RequestIdentity,
    SynthesisTimes,
    build_audit_record,
)
from sgps.service.requests import SynthesisRequest
from sgps.service.support import DecodedSupport, SupportPaths, find_support, read_support
from sgps.service.workspace import Workspace, image_limits
from sgps.settings import Settings
from sgps.synthesizer.task import ClassSupport, Task

if TYPE_CHECKING:
    from sgps.synthesizer.classifier import SynthesizedClassifier
    from sgps.synthesizer.synthesizer import Synthesizer

LEDGER_KIND = "synthesize"

Result = TypeVar("Result")

_ONE_SYNTHESIS = threading.Lock()


@dataclass(frozen=True)
class CheckedRequest:
    """A request that was found sound, when that was, and where its images lie."""

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

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> SynthesisReceipt:
        """The receipt whose :meth:`to_dict` is ``facts``."""
        return cls(**{**facts, "warnings": tuple(facts["warnings"])})


def synthesize_request(
    request: SynthesisRequest,
    workspace: Workspace,
    synthesizer: Synthesizer | None = None,
    *,
    flow: FlowIdentity | None = None,
    progress: Callable[[str], None] | None = None,
) -> SynthesisReceipt:
    """Another name of :func:`sgps.service.exactly_once.synthesize_once`."""
    from sgps.service.exactly_once import synthesize_once  # noqa: PLC0415  (it imports this module)

    return synthesize_once(request, workspace, synthesizer, flow=flow, progress=progress)


def check_request(request: SynthesisRequest, settings: Settings) -> CheckedRequest:
    """Check what depends on settings and files.

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
    return CheckedRequest(now(), request, find_support(request))


def decode_support(
    checked: CheckedRequest, settings: Settings, copies: Collection[str] = ()
) -> DecodedSupport:
    """Decode every image of a checked request. Raises ImageError, RequestError.

    copies: see :func:`sgps.service.support.read_support`.
    """
    return read_support(checked.request, checked.paths, image_limits(settings), copies)


def load_synthesizer(settings: Settings) -> Synthesizer:
    """Load the generator that the settings name. Raises UnknownNameError, IntegrityError."""
    from sgps.synthesizer.synthesizer import Synthesizer  # noqa: PLC0415 heavy

    return Synthesizer.load(
        settings.generator, device=settings.device, allow_downloads=settings.allow_downloads
    )


def synthesize_weights(
    request: SynthesisRequest, support: DecodedSupport, synthesizer: Synthesizer
) -> Synthesized:
    """Synthesize every weight of the classifier; one at a time in a process.

    A pass through the generator's target network observes it by hooks and swaps its parameters,
    which two threads cannot do at once.

    Raises
    ------
    RequestError: the task is none that can be synthesized.
    """
    classes = zip(request.classes, support.images, strict=True)
    task = Task(
        request.task,
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
    with _ONE_SYNTHESIS:
        classifier = synthesizer.synthesize(task)
    return Synthesized(classifier, generator, now())


def assemble_record(
    request: SynthesisRequest,
    support: DecodedSupport,
    made: Synthesized,
    identity: RequestIdentity,
    *,
    requested: str,
    files: Sequence[Sequence[bytes]] = (),
    seconds: dict[str, float] | None = None,
    flow: FlowIdentity | None = None,
    generator_documents: Mapping[str, bytes] | None = None,
) -> ModelPackage:
    """Join classifier, support images, texts and audit record into what is registered.

    ``files`` are, per class, the images as PNG files, where there are such already;
    ``generator_documents`` is what :func:`sgps.service.generator_documents.read_documents` found.
    """
    named = list(zip(request.classes, support.images, strict=True))
    digests = {item.name: [image.pixel_sha256 for _, image in images] for item, images in named}
    artifacts = support_artifact_names(digests)
    audit = build_audit_record(
        identity=identity,
        request=request,
        support=support,
        artifacts=artifacts,
        classifier=made.classifier,
        generator=made.generator,
        times=SynthesisTimes(requested, made.synthesized, dict(seconds or {})),
        flow=flow or FlowIdentity(),
    )
    images = tuple(
        SupportImage(
            item.name,
            given,
            image.pixels,
            artifacts[item.name][place],
            image.pixel_sha256,
            image.file_sha256,
            files[number][place] if files else None,
        )
        for number, (item, decoded) in enumerate(named)
        for place, (given, image) in enumerate(decoded)
    )
    return ModelPackage(
        request_id=identity.request_id,
        task=request.task,
        requester=identity.requester.name,
        purpose=request.purpose,
        classifier=made.classifier,
        support=images,
        texts={item.name: item.description for item in request.classes},
        request=request.to_record(),
        audit=audit,
        generator_documents=generator_documents or {},
    )


def ledger_terms(package: ModelPackage, registered: RegisteredVersion) -> dict[str, Any]:
    """What the ledger's entry can be found by; beside the chain, so that it can be forgotten."""
    persons = [person for item in package.request["classes"] for person in item["persons"]]
    return {
        "request_id": package.request_id,
        "model_name": registered.model_name,
        "version": registered.version,
        "requester": package.requester,
        "task": package.task,
        "generator": package.generator_sha256,
        "weights": package.classifier.weights_sha256,
        "image": [image.pixel_sha256 for image in package.support],
        "image_hash": sorted({perceptual_hash(image.pixels) for image in package.support}),
        "person": sorted({person for person in persons if person}),
    }


class StepClock:
    """Seconds of each step, and of all since the beginning.

    ``progress`` is called with the name of each step as it begins.
    """

    def __init__(self, progress: Callable[[str], None] | None) -> None:
        self._started = time.perf_counter()
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since it was made."""
        return time.perf_counter() - self._started

    def announce(self, step: str) -> None:
        """Tell that a step begins whose time is taken with another's."""
        if self._progress is not None:
            self._progress(step)

    def time(self, step: str, act: Callable[[], Result]) -> Result:
        """Do a step and note its seconds."""
        self.announce(step)
        began = time.perf_counter()
        result = act()
        self.seconds[step] = time.perf_counter() - began
        return result


def now() -> str:
    """This moment, in UTC and ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
