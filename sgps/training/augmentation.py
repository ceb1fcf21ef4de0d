"""Augmentation of episodes, on the device, reproducible from a seed.

Two kinds: of the task (all its images alike, which makes new tasks of the same classes) and of each
image (which makes new images of the same task).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sgps.training.image_bank import EpisodeTensors

_LUMINANCE = (0.299, 0.587, 0.114)


def augment_episode(episode: EpisodeTensors, seed: int) -> EpisodeTensors:
    """Augment support and query images; a pure function of the episode and the seed."""
    random = torch.Generator().manual_seed(seed)
    shots = episode.support.shape[0]
    images = torch.cat([episode.support, episode.query])
    images = _vary_task(images, random)
    images = _vary_images(images, random)
    return replace(episode, support=images[:shots], query=images[shots:])


def _vary_task(images: Tensor, random: torch.Generator) -> Tensor:
    """Turn, mirror, recolour: one draw for the whole episode."""
    turns = int(torch.randint(4, (1,), generator=random))
    if turns:
        images = torch.rot90(images, turns, dims=(2, 3))
    draw = torch.rand(3, generator=random).tolist()
    if draw[0] < 0.1:
        weights = images.new_tensor(_LUMINANCE, dtype=torch.float32).view(1, 3, 1, 1)
        grey = (images.float() * weights).sum(dim=1, keepdim=True).round().to(torch.uint8)
        images = grey.expand(-1, 3, -1, -1)
    elif draw[1] < 0.15:
        images = images[:, torch.randperm(3, generator=random)]
    if draw[2] < 0.05:
        images = 255 - images
    return images


def _vary_images(images: Tensor, random: torch.Generator) -> Tensor:
    """Crop, mirror, brighten: one draw an image."""
    count, side = images.shape[0], images.shape[2]
    scale = 0.75 + 0.25 * torch.rand(count, generator=random)
    shift = (torch.rand(count, 2, generator=random) * 2 - 1) * (1 - scale).unsqueeze(1)
    mirror = torch.where(torch.rand(count, generator=random) < 0.5, -1.0, 1.0)
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0] = scale * mirror
    affine[:, 1, 1] = scale
    affine[:, :, 2] = shift
    gain = 1 + 0.2 * (torch.rand(count, 1, 1, 1, generator=random) * 2 - 1)
    tint = 1 + 0.05 * (torch.rand(count, 3, 1, 1, generator=random) * 2 - 1)
    device = images.device
    grid = torch.nn.functional.affine_grid(
        affine.to(device), [count, 3, side, side], align_corners=False
    )
    cropped = torch.nn.functional.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    mean = cropped.mean(dim=(1, 2, 3), keepdim=True)
    contrasted = ((cropped - mean) * gain.to(device) + mean) * tint.to(device)
    return contrasted.round().clamp(0, 255).to(torch.uint8)
