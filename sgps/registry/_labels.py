"""Tags, parameters and the Markdown description of a version."""

from __future__ import annotations

import re

from sgps.registry.package import ModelPackage

DRAFT = "draft"
_LONGEST_TAG = 4_000
_HASH_LENGTH = 12


def search_tags(package: ModelPackage) -> dict[str, str]:
    """Tags to search versions and runs by; none longer than 4,000 characters."""
    hashes = [image.pixel_sha256[:_HASH_LENGTH] for image in package.support]
    tags = {
        "task": package.task,
        "requester": package.requester,
        "purpose": package.purpose,
        "request_id": package.request_id,
        "generator": package.generator_name,
        "generator_sha256": package.generator_sha256,
        "weights_sha256": package.classifier.weights_sha256,
        "architecture": package.classifier.architecture,
        "classes": ", ".join(package.classifier.class_names),
        "image_hashes": " ".join(dict.fromkeys(hashes)),
        "state": DRAFT,
    }
    return {name: _shorten(value) for name, value in tags.items()}


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
    """Markdown for the version page: what it is, who asked and why, where the rest is shown."""
    artifacts = f"#/experiments/{experiment_id}/runs/{run_id}/artifacts"
    lines = [
        f"**{escape_markdown(package.task)}** — synthesized classifier, **not for clinical use**.",
        "",
        f"[Model card]({artifacts}/card.html) · "
        f"[support images, texts and audit record]({artifacts})",
        "",
        f"- Requested by: {escape_markdown(package.requester)}",
        f"- Purpose: {escape_markdown(package.purpose)}",
        f"- Request: `{package.request_id}`",
        f"- Generator: {escape_markdown(package.generator_name)}"
        f" (`{package.generator_sha256[:_HASH_LENGTH]}`)",
        f"- Weights: `{package.classifier.weights_sha256[:_HASH_LENGTH]}`"
        f" ({package.classifier.architecture})",
        "",
        "| Class | Support images | Description |",
        "| --- | --- | --- |",
        *(_class_row(package, label) for label in package.classifier.class_names),
    ]
    return "\n".join(lines)


def escape_markdown(text: str) -> str:
    """One line of ``text`` with every character escaped that Markdown or HTML would act on."""
    flat = " ".join(text.split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~:@])", r"\\\1", flat)


def _class_row(package: ModelPackage, label: str) -> str:
    text = package.texts.get(label, "")
    shown = text if len(text) <= 240 else text[:239] + "…"
    count = len(package.support_of(label))
    return f"| {escape_markdown(label)} | {count} | {escape_markdown(shown) or '—'} |"


def _shorten(value: str) -> str:
    return value if len(value) <= _LONGEST_TAG else value[: _LONGEST_TAG - 1] + "…"
