"""Tags, parameters and the Markdown description of a version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sgps.registry.package import ModelPackage
from sgps.registry.states import State, StateChange

DRAFT = State.DRAFT.value
LONGEST_DESCRIPTION = 5_000
"""Characters that MLflow's databases keep of a description."""
_LONGEST_TAG = 4_000
_HASH_LENGTH = 12
_TEXT_LENGTHS = (240, 120, 60, 30)


@dataclass(frozen=True)
class VersionFacts:
    """What the description of a version says of it, from its package or from its run.

    ``classes`` holds name, number of support images and description of each class; a fact that is
    not known is empty.
    """

    task: str
    requester: str
    purpose: str
    request_id: str
    generator: str
    generator_sha256: str
    weights_sha256: str
    architecture: str
    role: str = ""
    authentication: str = ""
    legal_basis: str = ""
    abstention_threshold: float | None = None
    warnings: int = 0
    classes: tuple[tuple[str, int, str], ...] = ()

    @classmethod
    def of_package(cls, package: ModelPackage) -> VersionFacts:
        """From what is about to be registered."""
        classes = tuple(
            (name, len(package.support_of(name)), package.texts.get(name, ""))
            for name in package.classifier.class_names
        )
        details = package.classifier.details
        return cls._of(search_tags(package), package.audit, classes, details)

    @classmethod
    def of_run(
        cls, tags: Mapping[str, str], audit: Mapping[str, Any], texts: Mapping[str, Any]
    ) -> VersionFacts:
        """From a version's tags, ``audit.json`` and ``texts.json``; either file may be empty."""
        descriptions = {item["name"]: item["description"] for item in texts.get("classes", ())}
        inputs = audit.get("inputs", {})
        images = {item["name"]: len(item["images"]) for item in inputs.get("classes", ())}
        names = audit.get("outputs", {}).get("class_names") or descriptions
        classes = tuple((name, images.get(name, 0), descriptions.get(name, "")) for name in names)
        return cls._of(tags, audit, classes, audit.get("outputs", {}).get("details", {}))

    @classmethod
    def _of(
        cls,
        tags: Mapping[str, str],
        audit: Mapping[str, Any],
        classes: tuple[tuple[str, int, str], ...],
        details: Mapping[str, Any],
    ) -> VersionFacts:
        who, why = audit.get("who") or {}, audit.get("why") or {}
        return cls(
            task=tags.get("task", ""),
            requester=tags.get("requester", ""),
            purpose=tags.get("purpose", ""),
            request_id=tags.get("request_id", ""),
            generator=tags.get("generator", ""),
            generator_sha256=tags.get("generator_sha256", ""),
            weights_sha256=tags.get("weights_sha256", ""),
            architecture=tags.get("architecture", ""),
            role=str(who.get("role") or ""),
            authentication=str(who.get("authentication") or ""),
            legal_basis=str(why.get("legal_basis") or ""),
            abstention_threshold=abstention_threshold(details, audit),
            warnings=len(audit.get("warnings") or ()),
            classes=classes,
        )


def abstention_threshold(
    details: Mapping[str, Any], audit: Mapping[str, Any] | None = None
) -> float | None:
    """The confidence below which the classifier abstains, in [0, 1]; None where none is known."""
    calibration = (audit or {}).get("calibration") or {}
    found = details.get("abstention_threshold", calibration.get("abstention_threshold"))
    known = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if known else None


def search_tags(package: ModelPackage) -> dict[str, str]:
    """Tags to search versions and runs by; none longer than 4,000 characters.

    ``image_hashes`` holds the first 12 digits of each image's digest; hashes that no longer fit go
    to ``image_hashes_2`` and so on, so that none is cut.
    """
    audit = package.audit
    who, why = audit.get("who") or {}, audit.get("why") or {}
    data_version = audit.get("data_version") or {}
    tags = {
        "task": package.task,
        "requester": package.requester,
        "requester_role": str(who.get("role") or ""),
        "purpose": package.purpose,
        "legal_basis": str(why.get("legal_basis") or ""),
        "request_id": package.request_id,
        "generator": package.generator_name,
        "generator_sha256": package.generator_sha256,
        "data_sha256": str(data_version.get("sha256") or ""),
        "weights_sha256": package.classifier.weights_sha256,
        "architecture": package.classifier.architecture,
        "classes": ", ".join(package.classifier.class_names),
        "state": DRAFT,
    }
    shortened = {name: _shorten(value, _LONGEST_TAG) for name, value in tags.items() if value}
    return shortened | _image_tags(package)


def run_parameters(package: ModelPackage) -> dict[str, str]:
    """Parameters that the tracking UI compares runs by."""
    classifier = package.classifier
    shots = [len(package.support_of(label)) for label in classifier.class_names]
    return {
        "architecture": classifier.architecture,
        "resolution": str(classifier.resolution),
        "n_way": str(len(classifier.class_names)),
        "shots_per_class": " ".join(map(str, shots)),
        "texts": str(sum(bool(text.strip()) for text in package.texts.values())),
        "generator": package.generator_name,
    }


def version_description(package: ModelPackage, *, run_id: str, experiment_id: str) -> str:
    """Markdown for the page of a version that is new; see :func:`describe_version`."""
    facts = VersionFacts.of_package(package)
    return describe_version(facts, DRAFT, (), run_id=run_id, experiment_id=experiment_id)


def describe_version(
    facts: VersionFacts,
    state: str,
    history: Sequence[StateChange],
    *,
    run_id: str,
    experiment_id: str,
) -> str:
    """Markdown for the version page, at most 5,000 characters.

    What it is, who asked and why, where the rest is shown, its state and how it came to it. Long
    texts are cut as far as they have to be; the last resort leaves the table of classes out.
    """
    artifacts = f"#/experiments/{experiment_id}/runs/{run_id}/artifacts"
    for length in _TEXT_LENGTHS:
        text = "\n".join(
            [
                *_head_lines(facts, state, history, artifacts, length),
                *_class_lines(facts, length),
                *_history_lines(history, length),
            ]
        )
        if len(text) <= LONGEST_DESCRIPTION:
            return text
    shortest = _TEXT_LENGTHS[-1]
    return "\n".join(
        [
            *_head_lines(facts, state, history, artifacts, shortest),
            f"- Classes: {len(facts.classes)}, see the model card",
            *_history_lines(history, shortest),
        ]
    )[:LONGEST_DESCRIPTION]


def escape_markdown(text: str) -> str:
    """One line of ``text`` with every character escaped that Markdown or HTML would act on."""
    flat = " ".join(text.split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~:@])", r"\\\1", flat)


def _head_lines(
    facts: VersionFacts, state: str, history: Sequence[StateChange], artifacts: str, length: int
) -> list[str]:
    since = f", since {_minute(history[-1].time)} UTC" if history else ""
    who = [_cut(facts.role, 40), _proof(facts.authentication)]
    known = ", ".join(escape_markdown(part) for part in who if part)
    lines = [
        f"**{_cut(facts.task, 120)}** — synthesized classifier, **not for clinical use**.",
        "",
        f"State: **{escape_markdown(state.replace('_', ' '))}**{since}"
        + ("" if state == State.APPROVED else " (not approved: rest no decision on it)"),
        "",
        f"[Model card]({artifacts}/card.html) · "
        f"[support images, texts and audit record]({artifacts})",
        "",
        f"- Requested by: {_cut(facts.requester, 120)}" + (f" ({known})" if known else ""),
        f"- Purpose: {_cut(facts.purpose, 2 * length)}",
    ]
    if facts.legal_basis:
        lines.append(f"- Legal basis: {_cut(facts.legal_basis, 2 * length)}")
    lines += [
        f"- Request: `{_code(facts.request_id)}`",
        f"- Generator: {_cut(facts.generator, 120)} (`{_code(facts.generator_sha256)}`)",
        f"- Weights: `{_code(facts.weights_sha256)}` ({_cut(facts.architecture, 80)})",
    ]
    if facts.abstention_threshold is not None:
        lines.append(f"- Not sure below a probability of {facts.abstention_threshold:.2f}")
    if facts.warnings:
        lines.append(f"- Warnings at synthesis: {facts.warnings}, see the model card")
    return lines


def _class_lines(facts: VersionFacts, length: int) -> list[str]:
    if not facts.classes:
        return []
    rows = [
        f"| {_cut(name, 120)} | {count} | {_cut(text, length) or '—'} |"
        for name, count, text in facts.classes
    ]
    return ["", "| Class | Support images | Description |", "| --- | --- | --- |", *rows]


def _history_lines(history: Sequence[StateChange], length: int) -> list[str]:
    if not history:
        return []
    rows = [
        f"| {_minute(change.time)} | {_cut(change.who, 120)} | {change.previous.words} "
        f"| {change.state.words} | {_cut(change.reason, 2 * length) or '—'} | {change.entry} |"
        for change in history
    ]
    return [
        "",
        "**Review**",
        "",
        "| When (UTC) | Who | From | To | Reason | Ledger entry |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
    ]


def _image_tags(package: ModelPackage) -> dict[str, str]:
    hashes = list(dict.fromkeys(image.pixel_sha256[:_HASH_LENGTH] for image in package.support))
    fitting = _LONGEST_TAG // (_HASH_LENGTH + 1)
    blocks = [hashes[start : start + fitting] for start in range(0, len(hashes), fitting)]
    return {
        "image_hashes" + (f"_{number}" if number > 1 else ""): " ".join(block)
        for number, block in enumerate(blocks, start=1)
    }


def _proof(authentication: str) -> str:
    if authentication == "none":
        return "name not proved"
    return f"signed in by {authentication[:40]}" if authentication else ""


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _cut(text: str, length: int) -> str:
    return escape_markdown(_shorten(text, length))


def _code(digest: str) -> str:
    return re.sub(r"[^0-9A-Za-z-]", "", digest)[:64] if len(digest) <= 32 else digest[:_HASH_LENGTH]


def _shorten(value: str, length: int) -> str:
    return value if len(value) <= length else value[: length - 1] + "…"
