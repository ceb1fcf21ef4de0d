"""From pixels to what a classifier says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sgps.datasets.preprocessing import resize_and_crop
from sgps.errors import InputError
from sgps.synthesizer.head import LinearHead
from sgps.synthesizer.tapped_network import InputNormalisation, TappedNetwork
from sgps.synthesizer.task import Pixels

MARGIN_WEIGHT = 4.0
"""Of the margin beside the highest probability. Chosen on novel_val and meta_val: images of absent
classes are told apart better than by the highest probability alone where meta-training knew the
class, and about as well where it did not."""


@dataclass(frozen=True)
class Assessment:
    """What a classifier says of Q images.

    Attributes
    ----------
    probs_QN: class probabilities, rows summing to one.
    margin_Q: how much more an image resembles the nearest class of the task than the nearest class
        known from meta-training counts, within [-2, 2]; None where the classifier knows no other.
    resembles_Q: name of that known class, such as ``ham10000: nv``; None likewise.
    """

    probs_QN: NDArray[np.float32]
    margin_Q: NDArray[np.float32] | None = None
    resembles_Q: tuple[str, ...] | None = None

    @property
    def familiarity_Q(self) -> NDArray[np.float64] | None:
        """How sure it is that an image is of the task at all, float64; more is surer.

        None where no other class is known: the highest probability is all there is to say then.
        """
        if self.margin_Q is None:
            return None
        return familiarity(self.probs_QN, self.margin_Q)


def familiarity(
    probs_QN: NDArray[np.floating], margin_Q: NDArray[np.floating]
) -> NDArray[np.float64]:
    """The highest probability plus four times the margin, float64 (Q,)."""
    sure_Q: NDArray[np.float64] = probs_QN.max(axis=1).astype(np.float64)
    return sure_Q + MARGIN_WEIGHT * margin_Q


class Scorer(nn.Module):
    """The whole way from pixels to logits as one module, as it predicts and is exported.

    ``forward`` takes uint8 RGB images of shape (Q, 3, R, R) and returns logits (Q, N).
    """

    def __init__(
        self, normalise: InputNormalisation, network: TappedNetwork, head: LinearHead
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.network = network
        self._unit_rows = head.unit_rows
        for name, tensor in head.tensors().items():
            self.register_buffer(name, tensor)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of uint8 images; see the class."""
        return self._head.logits(self.network(self.normalise(images)))

    def rows(self, images: Tensor) -> Tensor:
        """Rows (Q, D) of uint8 images that the head's linear layer sees."""
        return self._head.features(self.network(self.normalise(images)))

    @property
    def _head(self) -> LinearHead:
        return LinearHead.from_tensors(
            dict(self.named_buffers(recurse=False)), unit_rows=self._unit_rows
        )


def images_to_tensor(images: Sequence[Pixels] | Pixels, resolution: int) -> Tensor:
    """Resize and crop images of any size to uint8 of shape (Q, 3, resolution, resolution).

    Raises
    ------
    InputError: an image is not uint8 of shape (H, W, 3).
    """
    for number, pixels in enumerate(images):
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise InputError(
                f"image {number}: {pixels.dtype} of shape {pixels.shape}",
                expected="uint8 of shape (height, width, 3)",
            )
    squares = np.stack([resize_and_crop(pixels, resolution) for pixels in images])
    return torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous()
