"""The audit record of a synthesis: who, why, when, from what, with what, into what."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgps.audit import canonical_json
from sgps.datasets.decoding import DecodedImage
from sgps.service.identity import RequesterIdentity
from sgps.service.requests import ClassRequest, SynthesisRequest
from sgps.service.support import DecodedSupport
from sgps.service.versions import STEP_VERSIONS, SYNTHESIS_VERSION

if TYPE_CHECKING:
    from sgps.synthesizer.classifier import SynthesizedClassifier

AUDIT_FORMAT = "sgps-audit-2"
_LIBRARIES = (
    "sgps", "torch", "torchvision", "timm", "open_clip_torch", "tokenizers", "safetensors",
    "numpy", "scipy", "pillow", "pandas", "mlflow", "prefect", "sqlalchemy", "pydantic", "dvc",
    "great-expectations",
)  # fmt: skip
_CALIBRATION = ("temperature", "abstention_threshold")
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class FlowIdentity:
    """The flow run that a synthesis belongs to; ``steps`` are the versions of its tasks."""

    name: str = "sgps.service.synthesize_once"
    version: str = SYNTHESIS_VERSION
    run_id: str | None = None
    steps: Mapping[str, str] = field(default_factory=lambda: dict(STEP_VERSIONS))


@dataclass(frozen=True)
class RequestIdentity:
    """How a request is told from others, and who sent it.

    ``key`` is the caller's idempotency key, None where the content is the key; ``content_sha256``
    is the digest of the content.
    """

    request_id: str
    requester: RequesterIdentity
    key: str | None
    content_sha256: str


@dataclass(frozen=True)
class GeneratorIdentity:
    """The generator that made the weights; ``lineage`` are the facts of its training."""

    name: str
    sha256: str
    device: str
    lineage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SynthesisTimes:
    """When a synthesis was asked for and done (UTC, ISO 8601), and the seconds of its steps."""

    requested: str
    synthesized: str
    seconds: Mapping[str, float]


def build_audit_record(
    *,
    identity: RequestIdentity,
    request: SynthesisRequest,
    support: DecodedSupport,
    artifacts: Mapping[str, Sequence[str]],
    classifier: SynthesizedClassifier,
    generator: GeneratorIdentity,
    times: SynthesisTimes,
    flow: FlowIdentity,
) -> dict[str, Any]:
    """The JSON-able record; ``artifacts`` holds per class the paths of its support images.

    Texts and persons stand in it by digest only, so that the record can outlive them.
    """
    return {
        "format": AUDIT_FORMAT,
        "request_id": identity.request_id,
        "key": identity.key,
        "task": request.task,
        "who": identity.requester.to_record(),
        "why": {"purpose": request.purpose, "legal_basis": request.legal_basis},
        "when": {"requested": times.requested, "synthesized": times.synthesized},
        "inputs": {
            "request_sha256": sha256_of_text(canonical_json(request.to_record())),
            "content_sha256": identity.content_sha256,
            "classes": [
                _class_record(item, support.images[number], persons, artifacts[item.name])
                for number, (item, persons) in enumerate(
                    zip(request.classes, support.persons, strict=True)
                )
            ],
        },
        "outputs": {
            "weights_sha256": classifier.weights_sha256,
            "description_sha256": classifier.description_sha256,
            "architecture": classifier.architecture,
            "resolution": classifier.resolution,
            "class_names": list(classifier.class_names),
            "details": dict(classifier.details),
        },
        "calibration": {
            name: classifier.details[name] for name in _CALIBRATION if name in classifier.details
        },
        "checks": [check.to_dict() for check in support.checks],
        "generator": {
            "name": generator.name,
            "sha256": generator.sha256,
            "lineage": dict(generator.lineage) or None,
        },
        "data_version": data_version(generator.lineage),
        "code": {
            "version": installed_version("sgps"),
            "git_commit": git_commit(),
            "git_changed": git_changed(),
        },
        "flow": {
            "name": flow.name,
            "version": flow.version,
            "run_id": flow.run_id,
            "steps": dict(flow.steps),
        },
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "libraries": library_versions(),
        },
        "seed": None,
        "device": generator.device,
        "seconds": {name: round(value, 6) for name, value in times.seconds.items()},
        "warnings": [check.finding for check in support.checks],
    }


def sha256_of_text(text: str) -> str:
    """SHA-256 in hex of the UTF-8 bytes of ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()


def data_version(lineage: Mapping[str, Any]) -> dict[str, str] | None:
    """Version of the data behind the generator.

    The digest of its training data where its lineage tells it; else that of the checkout's
    ``dvc.lock``; None where neither is there.
    """
    if lineage.get("data_sha256"):
        return {"kind": "training data", "sha256": str(lineage["data_sha256"])}
    lock = _REPOSITORY / "dvc.lock"
    if lock.is_file():
        return {"kind": "dvc.lock", "sha256": hashlib.sha256(lock.read_bytes()).hexdigest()}
    return None


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """Commit of the checkout that this code runs from; None for an installed package."""
    return _ask_git("rev-parse", "HEAD") or None


@lru_cache(maxsize=1)
def git_changed() -> bool | None:
    """Whether tracked files differ from that commit; None for an installed package."""
    changes = _ask_git("status", "--porcelain", "--untracked-files=no")
    return None if changes is None else bool(changes)


def _ask_git(*arguments: str) -> str | None:
    if not (_REPOSITORY / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(_REPOSITORY), *arguments],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


@lru_cache(maxsize=1)
def library_versions() -> dict[str, str]:
    """Versions of the installed libraries that have a part in a synthesis."""
    found = {name: installed_version(name) for name in _LIBRARIES}
    return {name: value for name, value in found.items() if value is not None}


def installed_version(name: str) -> str | None:
    """Version of an installed distribution; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _class_record(
    item: ClassRequest,
    images: Sequence[tuple[str, DecodedImage]],
    persons: Sequence[str],
    artifacts: Sequence[str],
) -> dict[str, Any]:
    return {
        "name": item.name,
        "description_sha256": sha256_of_text(item.description),
        "description_characters": len(item.description),
        "images": [
            {
                "name": given,
                "number": item.images.index(given) + 1,
                "height": image.pixels.shape[0],
                "width": image.pixels.shape[1],
                "deidentification": {
                    "removed": list(image.removed),
                    "re_encoded": True,
                    "format": image.format,
                },
                "file_sha256": image.file_sha256,
                "pixel_sha256": image.pixel_sha256,
                "person_sha256": sha256_of_text(person) if person else None,
                "artifact": artifact,
            }
            for (given, image), person, artifact in zip(images, persons, artifacts, strict=True)
        ],
    }
