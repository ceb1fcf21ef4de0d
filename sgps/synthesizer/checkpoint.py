"""Generators on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgps.errors import IntegrityError
from sgps.synthesizer.generator_config import GeneratorConfig
from sgps.synthesizer.generator_folder import GENERATOR_STEM
from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.synthesizer.sealed import SealedContent, digest_tensors, read_sealed, write_sealed

GENERATOR_FORMAT = "sgps-generator-1"
_BEFORE_IT_WAS_RECORDED = {"centre_widths": (), "separation_taps": 0}
"""What a generator did that was written before its head read centre taps, or separation."""


def save_generator(
    hypernetwork: Hypernetwork,
    folder: Path,
    *,
    name: str,
    text_encoder: str,
    lineage: Mapping[str, Any],
) -> str:
    """Write a generator in half precision; return the digest of its tensors.

    ``lineage`` holds JSON-able facts of the training: data digests, licences, seed, metrics.

    Raises
    ------
    StoreError: the folder cannot be written.
    """
    state = hypernetwork.generator.state_dict()
    tensors = {key: _halved(key, tensor) for key, tensor in state.items()}
    description = {
        "name": name,
        "config": asdict(hypernetwork.config),
        "base_sha256": digest_tensors(hypernetwork.base_tensors()),
        "text_encoder": text_encoder,
        "lineage": dict(lineage),
    }
    return write_sealed(folder, GENERATOR_STEM, tensors, description, file_format=GENERATOR_FORMAT)


def load_generator(
    folder: Path, *, pretrained: bool = True, allow_downloads: bool = False
) -> tuple[Hypernetwork, dict[str, Any]]:
    """Read a generator and build the target network it was trained for.

    Raises
    ------
    UnknownNameError: there is no generator in ``folder``.
    IntegrityError: a file is foreign, corrupted or altered, or the target network's own weights
        are not those the generator was trained on.
    """
    content = read_sealed(folder, GENERATOR_STEM, file_format=GENERATOR_FORMAT)
    known = {field.name for field in fields(GeneratorConfig)}
    recorded = {**_BEFORE_IT_WAS_RECORDED, **content.description["config"]}
    values = {key: _frozen(value) for key, value in recorded.items()}
    config = GeneratorConfig(**{key: value for key, value in values.items() if key in known})
    hypernetwork = Hypernetwork.create(
        config, pretrained=pretrained, allow_downloads=allow_downloads
    )
    _check_base(hypernetwork, content)
    state = {key: tensor.float() for key, tensor in content.tensors.items()}
    try:
        hypernetwork.generator.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise IntegrityError(
            f"{folder}: the generator's tensors do not fit its target network",
            expected=f"a generator for {config.architecture}",
        ) from error
    return hypernetwork.eval().requires_grad_(False), content.description


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _halved(key: str, tensor: Tensor) -> Tensor:
    large = key.startswith(("deltas.", "decoders.")) or tensor.numel() > 10_000
    return tensor.to(torch.float16) if large else tensor


def _check_base(hypernetwork: Hypernetwork, content: SealedContent) -> None:
    if digest_tensors(hypernetwork.base_tensors()) != content.description["base_sha256"]:
        raise IntegrityError(
            f"the weights of {hypernetwork.config.architecture} are not those this generator was"
            " trained on",
            expected=f"base weights with digest {content.description['base_sha256'][:12]}",
            remedy="install the pinned version of the package that brings them",
        )
