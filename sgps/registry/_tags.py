"""Tags that a version and its run are searched by."""

from __future__ import annotations

from sgps.registry._labels import DRAFT, VersionFacts
from sgps.registry.naming import model_name_for
from sgps.registry.package import ModelPackage

KEPT_TAGS = ("task", "requester", "request_id", "generator", "generator_sha256", "architecture")
"""Tags that an erased version, or a discarded one, keeps beside its state."""
_LONGEST_TAG = 4_000
_LONGEST_USER = 250
_HASH_LENGTH = 12
_IMAGES = "image_hashes"
_NAMES = (
    "task", "requester", "requester_role", "purpose", "legal_basis", "request_id", "generator",
    "generator_sha256", "data_sha256", "weights_sha256", "architecture", "classes", "state",
)  # fmt: skip


def search_tags(package: ModelPackage) -> dict[str, str]:
    """Tags of a version that is new; see :func:`version_tags`."""
    return version_tags(VersionFacts.of_package(package), DRAFT)


def version_tags(facts: VersionFacts, state: str) -> dict[str, str]:
    """Tags to search versions and runs by; none longer than 4,000 characters, none empty.

    ``image_hashes`` holds the first 12 digits of each image's digest; hashes that no longer fit go
    to ``image_hashes_2`` and so on, so that none is cut.
    """
    values = (
        *(facts.task, facts.requester, facts.role, facts.purpose, facts.legal_basis),
        *(facts.request_id, facts.generator, facts.generator_sha256, facts.data_sha256),
        *(facts.weights_sha256, facts.architecture, ", ".join(name for name, *_ in facts.classes)),
        state,
    )
    tags = {name: _shorten(value) for name, value in zip(_NAMES, values, strict=True) if value}
    return tags | _image_tags(facts.images)


def run_tags(facts: VersionFacts) -> dict[str, str]:
    """What MLflow itself shows of a run: its name, its user and what made it."""
    return {
        "mlflow.runName": f"{model_name_for(facts.task)} {facts.request_id[:8]}",
        "mlflow.user": facts.requester[:_LONGEST_USER],
        "mlflow.source.name": "sgps synthesize",
    }


def is_own_tag(name: str) -> bool:
    """Whether a tag of that name says what the record says, and is nobody's own note."""
    return name in _NAMES or name == _IMAGES or name.startswith(f"{_IMAGES}_")


def _image_tags(digests: tuple[str, ...]) -> dict[str, str]:
    hashes = list(dict.fromkeys(digest[:_HASH_LENGTH] for digest in digests))
    fitting = _LONGEST_TAG // (_HASH_LENGTH + 1)
    blocks = [hashes[start : start + fitting] for start in range(0, len(hashes), fitting)]
    return {
        _IMAGES + (f"_{number}" if number > 1 else ""): " ".join(block)
        for number, block in enumerate(blocks, start=1)
    }


def _shorten(value: str) -> str:
    return value if len(value) <= _LONGEST_TAG else value[: _LONGEST_TAG - 1] + "…"
