"""Image-text pairs of open_clip, BiomedCLIP among them: two towers over one loaded network."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sgps.encoders._inputs import normalised_batches, weights_digest
from sgps.encoders._torchvision_operators import import_open_clip
from sgps.errors import OperatorError, UnknownNameError

_PREFIX = "open_clip:"
_HUB_NAMES = {"biomedclip": "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"}


@dataclass(frozen=True)
class OpenClipPair:
    """A loaded open_clip network with its tokenizer (texts -> int64 (n, T))."""

    name: str
    version: str
    network: Any
    tokenizer: Callable[[list[str]], Tensor]


class OpenClipImageEncoder:
    """The image tower of an open_clip pair; vectors of unit length."""

    def __init__(self, pair: OpenClipPair, device: str = "cpu") -> None:
        self.name = pair.name
        self.version = pair.version
        self._network = pair.network.to(device)
        self._device = device
        self._inputs = dict(pair.network.visual.preprocess_cfg)
        self.width = _output_width(pair.network)

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        """Return float32 (n, width) on the CPU for uint8 images (n, 3, H, W)."""
        size = self._inputs["size"]
        height, width = (size, size) if isinstance(size, int) else size
        batches = normalised_batches(
            images, self._inputs["mean"], self._inputs["std"], (height, width), self._device
        )
        features = [self._network.encode_image(batch, normalize=True).cpu() for batch in batches]
        return torch.cat(features) if features else torch.zeros(0, self.width)


class OpenClipTextEncoder:
    """The text tower of an open_clip pair; vectors of unit length, zeros where a text is empty."""

    def __init__(self, pair: OpenClipPair, device: str = "cpu") -> None:
        self.name = pair.name
        self.version = pair.version
        self._network = pair.network.to(device)
        self._tokenizer = pair.tokenizer
        self._device = device
        self.width = _output_width(pair.network)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return float32 (n, width) on the CPU: unit length, or zeros where a text is empty."""
        features_nD = torch.zeros(len(texts), self.width)
        rows = [row for row, text in enumerate(texts) if text.strip()]
        if rows:
            tokens = self._tokenizer([texts[row] for row in rows]).to(self._device)
            features_nD[rows] = (
                functional.normalize(self._network.encode_text(tokens)).float().cpu()
            )
        return features_nD


def is_open_clip_name(name: str) -> bool:
    """Tell whether a name is ``biomedclip`` or ``open_clip:<model>[:<pretrained>]``."""
    return name in _HUB_NAMES or name.startswith(_PREFIX)


def load_open_clip(name: str, *, allow_downloads: bool) -> OpenClipPair:
    """Return an image-text pair with its published weights, kept for the life of the process.

    Raises
    ------
    UnknownNameError: nobody knows the model or its weights, or they may not be downloaded.
    OperatorError: the hub cannot be reached.
    """
    model, tag = _model_and_tag(name)
    if not allow_downloads:
        raise UnknownNameError(
            f"the weights of {name!r} come from the hub", remedy="allow downloads to use them"
        )
    return _download(name, model, tag)


@functools.lru_cache(maxsize=2)
def _download(name: str, model: str, tag: str | None) -> OpenClipPair:
    open_clip = import_open_clip()
    try:
        network = open_clip.create_model(model, pretrained=tag, require_pretrained=True)
        tokenizer = open_clip.get_tokenizer(model)
    except Exception as error:  # the hub's clients raise many unrelated types
        raise OperatorError(f"the weights of {name} could not be downloaded: {error}") from error
    return build_pair(name, network, tokenizer)


def build_pair(name: str, network: Any, tokenizer: Callable[[list[str]], Tensor]) -> OpenClipPair:
    """Freeze an open_clip network and join it with its tokenizer."""
    network.eval().requires_grad_(False)
    return OpenClipPair(name, weights_digest(network), network, tokenizer)


def _model_and_tag(name: str) -> tuple[str, str | None]:
    if name in _HUB_NAMES:
        return _HUB_NAMES[name], None
    open_clip = import_open_clip()
    model, _, tag = name.removeprefix(_PREFIX).partition(":")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not tags:
        known = sorted({model for model, _ in open_clip.list_pretrained()})
        raise UnknownNameError(
            f"unknown open_clip model {model!r}", expected="one of " + ", ".join(known)
        )
    if tag and tag not in tags:
        raise UnknownNameError(
            f"unknown weights {tag!r} of open_clip model {model}",
            expected="one of " + ", ".join(tags),
        )
    return model, tag or tags[0]


def _output_width(network: Any) -> int:
    image = torch.zeros(1, 3, *_pair(network.visual.image_size))
    device = next(network.parameters()).device
    with torch.inference_mode():
        return int(network.encode_image(image.to(device)).shape[-1])


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
