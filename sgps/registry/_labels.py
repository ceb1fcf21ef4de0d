"""Parameters and the Markdown description of a version."""

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
_HASH_LENGTH = 12
_TEXT_LENGTHS = (240, 120, 60, 30)


@dataclass(frozen=True)
class VersionFacts:
    """What the labels of a version say of it, from its package or from its record.

    ``classes`` holds name, number of support images and description of each class, ``images`` the
    pixel digests of the support; a fact that is not known is empty.
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
    data_sha256: str = ""
    abstention_threshold: float | None = None
    warnings: int = 0
    classes: tuple[tuple[str, int, str], ...] = ()
    images: tuple[str, ...] = ()

    @classmethod
    def of_package(cls, package: ModelPackage) -> VersionFacts:
        """From what is about to be registered."""
        classifier = package.classifier
        return cls(
            task=package.task,
            requester=package.requester,
            purpose=package.purpose,
            request_id=package.request_id,
            generator=package.generator_name,
            generator_sha256=package.generator_sha256,
            weights_sha256=classifier.weights_sha256,
            architecture=classifier.architecture,
            classes=tuple(
                (name, len(package.support_of(name)), package.texts.get(name, ""))
                for name in classifier.class_names
            ),
            images=tuple(image.pixel_sha256 for image in package.support),
            **_further_facts(package.audit, classifier.details),
        )

    @classmethod
    def of_record(cls, audit: Mapping[str, Any], texts: Mapping[str, Any]) -> VersionFacts:
        """The same facts from ``audit.json`` and ``texts.json``.

        The audit record may be the sealed one of the ledger, and ``texts`` empty: digests and
        descriptions are not known then.
        """
        outputs, generator = audit["outputs"], audit["generator"]
        classes = {item["name"]: item["images"] for item in audit["inputs"]["classes"]}
        descriptions = {item["name"]: item["description"] for item in texts.get("classes", ())}
        return cls(
            task=str(audit["task"]),
            requester=str(audit["who"]["requester"]),
            purpose=str(audit["why"]["purpose"]),
            request_id=str(audit["request_id"]),
            generator=str(generator["name"]),
            generator_sha256=str(generator["sha256"]),
            weights_sha256=str(outputs.get("weights_sha256", "")),
            architecture=str(outputs["architecture"]),
            classes=tuple(
                (name, len(classes[name]), descriptions.get(name, ""))
                for name in outputs["class_names"]
            ),
            images=tuple(
                str(image["pixel_sha256"])
                for images in classes.values()
                for image in images
                if "pixel_sha256" in image
            ),
            **_further_facts(audit, outputs["details"]),
        )


def _further_facts(audit: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    who, why = audit.get("who") or {}, audit.get("why") or {}
    return {
        "role": str(who.get("role") or ""),
        "authentication": str(who.get("authentication") or ""),
        "legal_basis": str(why.get("legal_basis") or ""),
        "data_sha256": str((audit.get("data_version") or {}).get("sha256") or ""),
        "abstention_threshold": abstention_threshold(details, audit),
        "warnings": len(audit.get("warnings") or ()),
    }


def abstention_threshold(
    details: Mapping[str, Any], audit: Mapping[str, Any] | None = None
) -> float | None:
    """The confidence below which the classifier abstains, in [0, 1]; None where none is known."""
    calibration = (audit or {}).get("calibration") or {}
    found = details.get("abstention_threshold", calibration.get("abstention_threshold"))
    known = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if known else None


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


def version_description(
    package: ModelPackage, state: str, *, run_id: str, experiment_id: str
) -> str:
    """Markdown for the page of a version that is new; see :func:`describe_version`."""
    facts = VersionFacts.of_package(package)
    return describe_version(facts, state, (), run_id=run_id, experiment_id=experiment_id)


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
        f"- Weights: {_weights(facts)}",
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


def _proof(authentication: str) -> str:
    if authentication == "none":
        return "name not proved"
    return f"signed in by {authentication[:40]}" if authentication else ""


def _weights(facts: VersionFacts) -> str:
    digest = f"`{_code(facts.weights_sha256)}`" if facts.weights_sha256 else "digest not known"
    return f"{digest} ({_cut(facts.architecture, 80)})"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _cut(text: str, length: int) -> str:
    return escape_markdown(_shorten(text, length))


def _code(digest: str) -> str:
    return re.sub(r"[^0-9A-Za-z-]", "", digest)[:64] if len(digest) <= 32 else digest[:_HASH_LENGTH]


def _shorten(value: str, length: int) -> str:
    return value if len(value) <= length else value[: length - 1] + "…"
