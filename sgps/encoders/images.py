"""Frozen image encoders: uint8 images to feature vectors."""

from __future__ import annotations

import difflib
import functools
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from sgps.encoders._inputs import normalised_batches, weights_digest
from sgps.encoders._open_clip import OpenClipImageEncoder, is_open_clip_name, load_open_clip
from sgps.encoders._torchvision_operators import import_timm
from sgps.encoders.target_networks import create_target_network, packaged_target_networks
from sgps.errors import OperatorError, UnknownNameError


class ImageEncoder(Protocol):
    """A frozen image encoder; `version` is a digest of its weights."""

    name: str
    version: str
    width: int

    def encode(self, images: Tensor) -> Tensor:
        """Return float32 (n, width) on the CPU for uint8 images (n, 3, H, W)."""
        ...


class TimmImageEncoder:
    """The pooled last features of a timm network that was created with ``num_classes=0``."""

    def __init__(self, name: str, network: nn.Module, *, device: str = "cpu") -> None:
        config = cast(Any, network).pretrained_cfg
        self.name = name
        self.version = weights_digest(network)
        self.width = int(cast(Any, network).num_features)
        self._network = network.eval().requires_grad_(False).to(device)
        self._device = device
        self._mean, self._std = config["mean"], config["std"]
        self._size = tuple(config["input_size"][1:]) if config.get("fixed_input_size") else None

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        """Return float32 (n, width) on the CPU for uint8 images (n, 3, H, W)."""
        batches = normalised_batches(images, self._mean, self._std, self._size, self._device)
        features = [self._network(batch).float().cpu() for batch in batches]
        return torch.cat(features) if features else torch.zeros(0, self.width)


def load_image_encoder(
    name: str, *, device: str = "cpu", allow_downloads: bool = False
) -> ImageEncoder:
    """Return an image encoder by name, kept for the life of the process.

    ``tf_efficientnet_lite0``, ``1`` and ``2`` are installed with SGPS. Any other timm name,
    ``open_clip:<model>[:<pretrained>]`` and ``biomedclip`` come from the hub, and only where
    `allow_downloads` is true. `device` is a torch device such as ``cpu`` or ``cuda``.

    Raises
    ------
    UnknownNameError: nobody knows the name, or it would have to be downloaded and may not.
    OperatorError: the hub cannot be reached, or a package with weights is not installed.
    """
    return _load(name, device, allow_downloads)


@functools.lru_cache(maxsize=4)
def _load(name: str, device: str, allow_downloads: bool) -> ImageEncoder:
    if is_open_clip_name(name):
        return OpenClipImageEncoder(load_open_clip(name, allow_downloads=allow_downloads), device)
    if name in packaged_target_networks():
        return TimmImageEncoder(name, create_target_network(name), device=device)
    return TimmImageEncoder(name, _download(name, allow_downloads), device=device)


def _download(name: str, allow_downloads: bool) -> nn.Module:
    timm = import_timm()
    known = timm.list_models(pretrained=True)
    if not timm.models.is_model_pretrained(name):
        close = difflib.get_close_matches(name, known, n=3) or packaged_target_networks()
        raise UnknownNameError(
            f"unknown image encoder {name!r}",
            expected="a timm model, open_clip:<model>[:<pretrained>] or biomedclip; close: "
            + ", ".join(close),
        )
    if not allow_downloads:
        raise UnknownNameError(
            f"image encoder {name!r} has no weights on this machine",
            expected="one of " + ", ".join(packaged_target_networks()),
            remedy="allow downloads to take them from the hub",
        )
    try:
        return cast(nn.Module, timm.create_model(name, pretrained=True, num_classes=0))
    except Exception as error:  # the hub's clients raise many unrelated types
        raise OperatorError(f"the weights of {name} could not be downloaded: {error}") from error
