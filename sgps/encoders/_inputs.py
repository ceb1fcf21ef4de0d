"""What every image encoder needs: uint8 images as normalised batches, a digest of the weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sgps.errors import InputError

_BATCH = 64


def normalised_batches(
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    size: tuple[int, int] | None,
    device: str,
) -> Iterator[Tensor]:
    """Yield uint8 images (n, 3, H, W) as float32 batches (b, 3, *size), resized if need be.

    Raises
    ------
    InputError: the images are not uint8 of shape (n, 3, H, W).
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise InputError(
            f"images of dtype {images.dtype} and shape {tuple(images.shape)}",
            expected="uint8 of shape (n, 3, H, W)",
        )
    mean_C11 = torch.tensor(mean, device=device).view(-1, 1, 1)
    std_C11 = torch.tensor(std, device=device).view(-1, 1, 1)
    for start in range(0, len(images), _BATCH):
        pixels = images[start : start + _BATCH].to(device).float() / 255
        if size is not None and tuple(pixels.shape[-2:]) != tuple(size):
            pixels = functional.interpolate(
                pixels, tuple(size), mode="bicubic", align_corners=False, antialias=True
            ).clamp(0, 1)
        yield (pixels - mean_C11) / std_C11


def weights_digest(network: nn.Module) -> str:
    """Return sha256 over the names, shapes, types and bytes of a network's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}:".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
