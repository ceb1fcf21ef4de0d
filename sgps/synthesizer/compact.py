"""A classifier in few bytes: codes, head and statistics; its generator makes the rest again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sgps.errors import InputError, IntegrityError
from sgps.synthesizer.classifier import BESIDE, CODES, SynthesizedClassifier
from sgps.synthesizer.generator import GeneratedCodes
from sgps.synthesizer.head_parameters import HeadParameters
from sgps.synthesizer.sealed import read_sealed, write_sealed

if TYPE_CHECKING:
    from sgps.synthesizer.synthesizer import Synthesizer

COMPACT_FORMAT = "sgps-compact-1"
_STEM = "compact"
_KEPT, _MOMENTS = "kept.", "moments"
_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class CompactClassifier:
    """What a generator needs to make a classifier again.

    Attributes
    ----------
    tensors: under their own names those that the classifier has beside its weights; under
        ``kept.`` each tensor of the classifier that no code makes again (the head, and the
        normalisation statistics that were moved towards the support's own); ``moments`` (T, 2),
        mean and root mean square of the T other tensors.
    description: that of the classifier, with ``generator_sha256`` and ``weights_sha256``.
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
        description = {
            **classifier.description(),
            "generator_sha256": classifier.details["generator_sha256"],
            "weights_sha256": classifier.weights_sha256,
        }
        _check_generator(description, synthesizer)
        beside = classifier.beside()
        made = _make_again(beside, synthesizer)
        kept = {
            name: tensor
            for name, tensor in classifier.tensors().items()
            if name not in made or not torch.equal(tensor, made[name])
        }
        named = {_KEPT + name: tensor for name, tensor in kept.items()}
        others = {name: tensor for name, tensor in made.items() if name not in kept}
        return cls(beside | named | {_MOMENTS: _moments(others)}, description)

    def expand(self, synthesizer: Synthesizer, *, exact: bool = True) -> SynthesizedClassifier:
        """The standalone form, bit for bit.

        Processors of another kind round differently (by some 5e-7 a weight); with ``exact=False``
        a classifier that differs by no more than rounding is accepted, under a digest of its own.

        Raises
        ------
        IntegrityError: ``synthesizer`` is not the generator that made the classifier, or makes
            other weights here than it did there.
        """
        _check_generator(self.description, synthesizer)
        kept = {
            name.removeprefix(_KEPT): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(_KEPT)
        }
        beside = {name: tensor for name, tensor in self.tensors.items() if name.startswith(BESIDE)}
        made = _make_again(beside, synthesizer)
        classifier = SynthesizedClassifier.from_tensors(
            made | kept | beside, self.description, device=synthesizer.device
        )
        if classifier.weights_sha256 != self.description["weights_sha256"]:
            others = {name: tensor for name, tensor in made.items() if name not in kept}
            if exact or not _agree(_moments(others), self.tensors[_MOMENTS]):
                raise IntegrityError(
                    f"the generator makes other weights here ({classifier.weights_sha256[:12]})",
                    expected=f"{self.description['weights_sha256'][:12]}, as it made on"
                    f" {self.description['details'].get('device', 'another device')}",
                    remedy="expand it on such a device and processor and with the version of SGPS"
                    " that made it, or keep the standalone form",
                )
        return classifier

    def save(self, folder: Path | str) -> int:
        """Write ``compact.safetensors`` and ``compact.json``; return their size in bytes.

        Raises
        ------
        StoreError: the folder cannot be written.
        """
        folder = Path(folder)
        write_sealed(folder, _STEM, self.tensors, self.description, file_format=COMPACT_FORMAT)
        return sum(path.stat().st_size for path in folder.glob(f"{_STEM}.*"))

    @classmethod
    def load(cls, folder: Path | str) -> CompactClassifier:
        """Read a saved compact classifier.

        Raises
        ------
        UnknownNameError: there is none in ``folder``.
        IntegrityError: a file is foreign, corrupted or altered.
        """
        content = read_sealed(Path(folder), _STEM, file_format=COMPACT_FORMAT)
        return cls(content.tensors, content.description)


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
