"""A classifier in few bytes: codes, head and statistics; its generator makes the rest again.

Shapes: N classes of a task, D features that the head's linear layer sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sgps.errors import InputError, IntegrityError
from sgps.synthesizer.classifier import (
    BESIDE,
    CODES,
    KNOWN_CLASSES,
    RESEMBLANCE,
    SynthesizedClassifier,
    head_of,
)
from sgps.synthesizer.generator import GeneratedCodes
from sgps.synthesizer.head import LinearHead
from sgps.synthesizer.head_parameters import HeadParameters
from sgps.synthesizer.packing import pack, pack_json, unpack, unpack_json
from sgps.synthesizer.resemblance import KNOWN, OWN, PROJECTION, Resemblance, resemblance_beside
from sgps.synthesizer.sealed import digest_tensors, read_sealed, write_sealed

if TYPE_CHECKING:
    from sgps.synthesizer.synthesizer import Synthesizer

COMPACT_FORMAT = "sgps-compact-3"
_UNPACKED = ("sgps-compact-2", "sgps-compact-1")
_STEM = "compact"
_PACKED, _INFLUENCE = "packed", "details.influence"
_KEPT, _MOMENTS = "kept.", "moments"
_MADE_AGAIN = (RESEMBLANCE + KNOWN, RESEMBLANCE + PROJECTION)
_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class CompactClassifier:
    """What a generator needs to make a classifier again.

    Attributes
    ----------
    tensors: under their own names those that the classifier has beside its weights, but of its
        resemblance that to its own classes alone where the generator's known classes give the
        rest; under ``kept.`` each tensor of the classifier that no code makes again (the head, and
        the normalisation statistics that were moved towards the support's own); ``moments``
        (T, 2), mean and root mean square of the T other tensors.
    description: that of the classifier, with ``generator_sha256``, ``weights_sha256`` and
        ``beside_sha256``, of what it has beside its weights.
    """

    tensors: Mapping[str, Tensor]
    description: Mapping[str, Any]

    @classmethod
    def of(cls, classifier: SynthesizedClassifier, synthesizer: Synthesizer) -> CompactClassifier:
        """The compact form of a classifier that ``synthesizer`` made.

        Raises
        ------
        InputError: the classifier carries no codes, and its generator needs them.
        IntegrityError: another generator made it.
        """
        if not classifier.codes and synthesizer.hypernetwork.config.task_codes:
            raise InputError(
                "the classifier carries no codes of its generator",
                expected="one whose generator's codes were kept when it was synthesized",
                remedy="synthesize it again, or keep the standalone form",
            )
        beside = classifier.beside()
        description = {
            **classifier.description(),
            "generator_sha256": classifier.details["generator_sha256"],
            "weights_sha256": classifier.weights_sha256,
            "beside_sha256": digest_tensors(beside),
        }
        _check_generator(description, synthesizer)
        made = _make_again(beside, synthesizer)
        kept = {
            name: tensor
            for name, tensor in classifier.tensors().items()
            if name not in made or not torch.equal(tensor, made[name])
        }
        others = {name: tensor for name, tensor in made.items() if name not in kept}
        if _is_made_again(classifier, synthesizer):
            others |= {name: beside.pop(name) for name in _MADE_AGAIN}
            del description[KNOWN_CLASSES]
        named = {_KEPT + name: tensor for name, tensor in kept.items()}
        return cls(beside | named | {_MOMENTS: _moments(others)}, description)

    def expand(self, synthesizer: Synthesizer, *, exact: bool = True) -> SynthesizedClassifier:
        """The standalone form, bit for bit.

        Processors of another kind round differently (by some 5e-7 a weight); with ``exact=False``
        a classifier that differs by no more than rounding is accepted, under a digest of its own.

        Raises
        ------
        IntegrityError: ``synthesizer`` is not the generator that made the classifier, knows other
            classes beside it, or makes other weights here than it did there.
        """
        _check_generator(self.description, synthesizer)
        kept = {
            name.removeprefix(_KEPT): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(_KEPT)
        }
        beside = {name: tensor for name, tensor in self.tensors.items() if name.startswith(BESIDE)}
        made = _make_again(beside, synthesizer)
        others = {name: tensor for name, tensor in made.items() if name not in kept}
        description = dict(self.description)
        if RESEMBLANCE + OWN in beside and KNOWN_CLASSES not in description:
            found = _known_again(
                beside[RESEMBLANCE + OWN], head_of(kept, description), description, synthesizer
            )
            description[KNOWN_CLASSES] = list(found.names)
            again = {RESEMBLANCE + name: tensor for name, tensor in found.tensors().items()}
            beside |= again
            others |= {name: again[name] for name in _MADE_AGAIN}
        classifier = SynthesizedClassifier.from_tensors(
            made | kept | beside, description, device=synthesizer.device
        )
        if not self._is_the_same(classifier) and (
            exact or not _agree(_moments(others), self.tensors[_MOMENTS])
        ):
            raise IntegrityError(
                f"the generator makes other weights here ({classifier.weights_sha256[:12]})",
                expected=f"{self.description['weights_sha256'][:12]}, as it made on"
                f" {self.description['details'].get('device', 'another device')}",
                remedy="expand it on such a device and processor and with the version of SGPS"
                " that made it, or keep the standalone form",
            )
        return classifier

    def _is_the_same(self, classifier: SynthesizedClassifier) -> bool:
        found = {
            "weights_sha256": classifier.weights_sha256,
            "beside_sha256": digest_tensors(classifier.beside()),
        }
        return all(self.description.get(name, digest) == digest for name, digest in found.items())

    def save(self, folder: Path | str) -> int:
        """Write ``compact.safetensors`` and ``compact.json``; return their size in bytes.

        Raises
        ------
        StoreError: the folder cannot be written.
        """
        folder = Path(folder)
        details = dict(self.description["details"])
        texts = {_INFLUENCE: pack_json(details.pop("influence"))} if "influence" in details else {}
        packed, kinds = pack({**self.tensors, **texts})
        description = {**self.description, "details": details, _PACKED: kinds}
        write_sealed(folder, _STEM, packed, description, file_format=COMPACT_FORMAT, indent=None)
        return sum(path.stat().st_size for path in folder.glob(f"{_STEM}.*"))

    @classmethod
    def load(cls, folder: Path | str) -> CompactClassifier:
        """Read a saved compact classifier.

        Raises
        ------
        UnknownNameError: there is none in ``folder``.
        IntegrityError: a file is foreign, corrupted or altered.
        """
        content = read_sealed(Path(folder), _STEM, file_format=COMPACT_FORMAT, or_else=_UNPACKED)
        tensors, description = content.tensors, content.description
        if description["format"] == COMPACT_FORMAT:
            tensors = unpack(tensors, description.pop(_PACKED, {}))
            if _INFLUENCE in tensors:
                influence = unpack_json(tensors.pop(_INFLUENCE))
                description["details"] = {**description["details"], "influence": influence}
        return cls(tensors, description)


def codes_to_tensors(codes: GeneratedCodes) -> dict[str, Tensor]:
    """The tensors that a body is made of, by name; the head is kept as it was solved."""
    names = [field.name for field in fields(codes) if field.name != "head"]
    return {name: getattr(codes, name) for name in names}


def codes_from_tensors(tensors: Mapping[str, Tensor]) -> GeneratedCodes:
    """The inverse of :func:`codes_to_tensors`; the parameters of the head are empty."""
    empty = torch.empty(0)
    return GeneratedCodes(**tensors, head=HeadParameters(empty, empty, empty, empty))


def _make_again(beside: Mapping[str, Tensor], synthesizer: Synthesizer) -> dict[str, Tensor]:
    """Every tensor of the body as the generator makes it, its statistics before any task."""
    hypernetwork = synthesizer.hypernetwork
    own = {
        name.removeprefix(CODES): tensor.to(synthesizer.device)
        for name, tensor in beside.items()
        if name.startswith(CODES)
    }
    with torch.inference_mode():
        made = hypernetwork.shared_body()
        if own:
            made |= hypernetwork.generator.decode(
                codes_from_tensors(own), hypernetwork.base_tensors()
            )
    return {name: tensor.detach().cpu() for name, tensor in made.items()}


def _is_made_again(classifier: SynthesizedClassifier, synthesizer: Synthesizer) -> bool:
    """Whether the generator tells of the known classes what the classifier has of them."""
    resemblance, known = classifier.resemblance, synthesizer.known_classes
    facts = classifier.description()
    if resemblance is None or known is None or known.sha256 != _known_sha256(facts):
        return False
    again = _known_again(resemblance.own_ND, classifier.head, facts, synthesizer)
    tensors, found = resemblance.tensors(), again.tensors()
    return tensors.keys() == found.keys() and all(
        torch.equal(tensor, found[name]) for name, tensor in tensors.items()
    )


def _known_again(
    own_ND: Tensor, head: LinearHead, description: Mapping[str, Any], synthesizer: Synthesizer
) -> Resemblance:
    """The resemblance as it was synthesized, on the CPU."""
    known, background = synthesizer.known_classes, synthesizer.background
    wanted = _known_sha256(description)
    if known is None or background is None or known.sha256 != wanted:
        found = f"knows other classes ({known.sha256[:12]})" if known else "knows no classes"
        raise IntegrityError(
            f"generator {synthesizer.generator_name!r} {found}, unlike when it made the classifier",
            expected=f"known classes {wanted[:12]} beside it",
            remedy="restore known_classes.safetensors and .json beside the generator, or keep the"
            " standalone form",
        )
    device = synthesizer.device
    with torch.inference_mode():
        again = resemblance_beside(own_ND.to(device), background, head.to(device))
    return again.to(torch.device("cpu"))


def _known_sha256(description: Mapping[str, Any]) -> str:
    return str(description["details"].get("known_classes_sha256"))


def _check_generator(description: Mapping[str, Any], synthesizer: Synthesizer) -> None:
    wanted = str(description["generator_sha256"])
    if synthesizer.generator_sha256 != wanted:
        raise IntegrityError(
            f"generator {synthesizer.generator_name!r} ({synthesizer.generator_sha256[:12]}) did"
            " not make this classifier",
            expected=f"generator {description['details'].get('generator', '')!r} ({wanted[:12]})",
            remedy="load that generator",
        )


def _moments(tensors: Mapping[str, Tensor]) -> Tensor:
    """Mean and root mean square (T, 2) of each tensor, float64, by name."""
    rows = [
        torch.stack([values.mean(), values.square().mean().sqrt()])
        for values in (tensors[name].double() for name in sorted(tensors))
    ]
    return torch.stack(rows) if rows else torch.zeros(0, 2, dtype=torch.float64)


def _agree(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape:
        return False
    scale_T1 = second[:, 1:].clamp_min(1e-12)
    return bool(((first - second).abs() <= _ROUNDING * scale_T1).all())
