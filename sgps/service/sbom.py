"""Software bill of materials (CycloneDX 1.6) of the environment, and of a generator in it."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from cyclonedx.exception import MissingOptionalDependencyException
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from sgps.errors import IntegrityError
from sgps.files import write_whole

SBOM_FILE = "sbom.cdx.json"
_NAMESPACE = uuid.UUID("6f0f4a34-6d6d-5c55-9d52-7367707362d0")
_LONGEST_LICENCE = 80
_OF_AN_EXTRA = re.compile(r";.*\bextra\b")
_REQUIRED = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class GeneratorComponent:
    """The generator that a bill belongs to; ``sha256`` is the digest of its tensors."""

    name: str
    sha256: str


def build_sbom(generator: GeneratorComponent | None = None) -> str:
    """JSON text of the bill: every installed distribution, and what each needs.

    The same environment and generator give the same text: it carries no time, and its serial
    number is derived from its content.

    Raises
    ------
    IntegrityError: the text does not satisfy CycloneDX's own schema.
    """
    installed = dict(sorted(_installed()))
    components = {name: _component(name, found) for name, found in installed.items()}
    main = components.pop("sgps", None)
    bom = Bom(components=components.values())
    bom.metadata.component = main
    everything = {**components, **({"sgps": main} if main is not None else {})}
    for name, component in everything.items():
        needed = (everything[other] for other in _needs(installed[name]) if other in everything)
        bom.register_dependency(component, needed)
    if generator is not None:
        bom.components.add(_generator_component(generator))
    content = json.loads(JsonV1Dot6(bom).output_as_string())
    text = _without_chance(content)
    _validate(text)
    return text


def write_sbom(path: Path, generator: GeneratorComponent | None = None) -> str:
    """Write the bill to ``path``, whole or not at all; return the sha256 of the file.

    Raises
    ------
    StoreError: the file cannot be written.
    IntegrityError: see :func:`build_sbom`.
    """
    data = build_sbom(generator).encode()
    write_whole(path, data)
    return hashlib.sha256(data).hexdigest()


def _installed() -> Iterator[tuple[str, Distribution]]:
    seen: set[str] = set()
    for found in distributions():
        name = _normalise(_field(found, "Name"))
        if name and name not in seen:  # the first on the path is the one that is imported
            seen.add(name)
            yield name, found


def _component(name: str, found: Distribution) -> Component:
    kind = ComponentType.APPLICATION if name == "sgps" else ComponentType.LIBRARY
    url = PackageURL(type="pypi", name=name, version=found.version)
    return Component(
        name=name,
        version=found.version,
        type=kind,
        bom_ref=str(url),
        purl=url,
        licenses=_licences(found),
    )


def _generator_component(generator: GeneratorComponent) -> Component:
    return Component(
        name=generator.name,
        version=generator.sha256[:12],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"generator:{generator.sha256}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=generator.sha256)],
    )


def _licences(found: Distribution) -> list[Any]:
    stated = _field(found, "License-Expression") or _field(found, "License")
    line = " ".join(str(stated).split())
    if not line or len(line) > _LONGEST_LICENCE:
        kinds = [str(one) for one in found.metadata.get_all("Classifier") or []]
        line = next((one.split(" :: ")[-1] for one in kinds if one.startswith("License :: ")), "")
    return [DisjunctiveLicense(name=line)] if line else []


def _field(found: Distribution, name: str) -> str:
    return str(found.metadata[name]) if name in found.metadata else ""


def _needs(found: Distribution) -> list[str]:
    stated: Iterable[str] = found.requires or []
    names = [_REQUIRED.match(line) for line in stated if not _OF_AN_EXTRA.search(line)]
    return sorted({_normalise(match[1]) for match in names if match is not None})


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _without_chance(content: dict[str, Any]) -> str:
    """The text without its time, under a serial number that follows from the rest."""
    content.get("metadata", {}).pop("timestamp", None)
    content.pop("serialNumber", None)
    serial = uuid.uuid5(_NAMESPACE, _dump(content))
    return _dump({**content, "serialNumber": f"urn:uuid:{serial}"}) + "\n"


def _dump(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)


def _validate(text: str) -> None:
    try:
        fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    except MissingOptionalDependencyException:
        return
    if fault is not None:
        raise IntegrityError(
            "the bill of materials does not satisfy the CycloneDX 1.6 schema",
            remedy=f"report this: {str(fault)[:200]}",
        )
