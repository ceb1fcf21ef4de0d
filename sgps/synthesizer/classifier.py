"""A synthesized classifier: an immutable set of weights that runs with timm alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sgps.datasets.preprocessing import resize_and_crop
from sgps.errors import InputError
from sgps.synthesizer.head import LinearHead, fold_single_tap
from sgps.synthesizer.sealed import (
    digest_tensors,
    read_sealed,
    seal_description,
    write_sealed,
)
from sgps.synthesizer.tapped_network import (
    LAST,
    InputNormalisation,
    TappedNetwork,
    build_tapped_network,
    fold_normalisations,
    images_at_once,
    use_channels_last,
)
from sgps.synthesizer.task import Pixels

CLASSIFIER_FORMAT = "sgps-classifier-1"
_STEM = "classifier"
_HEAD_TENSORS = ("centre", "scale", "weight", "bias")
_HEAD = "head."
CODES = "codes."
"""What the names of the codes begin with, beside the tensors of a saved classifier."""
_NO_BODY = (_HEAD, CODES)


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
        head = LinearHead.from_tensors(
            dict(self.named_buffers(recurse=False)), unit_rows=self._unit_rows
        )
        return head.logits(self.network(self.normalise(images)))


class SynthesizedClassifier:
    """Weights, class names and preprocessing of one synthesized classifier.

    Parameters
    ----------
    body: the target network's state dict, batch counters left out.
    head: linear layer over the taps.
    class_names: name of each output, in order.
    architecture: timm name of the target network.
    resolution: side of the square input image, in pixels.
    taps: block numbers whose pooled outputs the head reads; -1 stands for the last features.
    details: JSON-able facts of the synthesis (generator, temperature, seconds, ...).
    codes: the generator's own words for the task, by name (see `sgps.synthesizer.compact`); they
        are kept beside the weights and no part of them.
    device: where it predicts.
    """

    def __init__(
        self,
        body: Mapping[str, Tensor],
        head: LinearHead,
        *,
        class_names: Sequence[str],
        architecture: str,
        resolution: int,
        taps: Sequence[int],
        details: Mapping[str, Any],
        codes: Mapping[str, Tensor] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.class_names = tuple(class_names)
        self.architecture = architecture
        self.resolution = resolution
        self.taps = tuple(taps)
        self.details = dict(details)
        self.device = torch.device(device)
        self._body = {name: tensor.detach().cpu() for name, tensor in body.items()}
        self.head = head.to(torch.device("cpu"))
        self.codes = {name: tensor.detach().cpu() for name, tensor in (codes or {}).items()}
        self.weights_sha256 = digest_tensors(self.tensors())

    @cached_property
    def scorer(self) -> Scorer:
        """From uint8 images (Q, 3, R, R) to logits (Q, N); normalisation layers are folded."""
        with torch.device("meta"):
            network = build_tapped_network(self.architecture, taps=self.taps, pretrained=False)
        network.body.load_state_dict(self.body_state_dict(), strict=True, assign=True)
        use_channels_last(fold_normalisations(network))
        scorer = Scorer(InputNormalisation(self.architecture), network, self.head)
        return scorer.eval().requires_grad_(False).to(self.device)

    def predict_proba(self, images: Sequence[Pixels] | Pixels) -> NDArray[np.float32]:
        """Class probabilities, float32 of shape (Q, N), rows summing to one.

        ``images``: Q images of any size, each uint8 of shape (H, W, 3).
        """
        logits = torch.from_numpy(self.logits(images))
        probabilities: NDArray[np.float32] = logits.softmax(dim=1).numpy()
        return probabilities

    def logits(
        self, images: Sequence[Pixels] | Pixels, *, batch: int | None = None
    ) -> NDArray[np.float32]:
        """Logits, float32 of shape (Q, N), computed ``batch`` images at a time.

        By default as many as the device is fastest with.

        Raises
        ------
        InputError: there is no image, or one is not uint8 of shape (H, W, 3).
        """
        if len(images) == 0:
            raise InputError("no image to predict", expected="at least one image")
        batch = batch or self.images_at_once
        rows: list[Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(images), batch):
                block = images_to_tensor(images[start : start + batch], self.resolution)
                rows.append(self.scorer(block.to(self.device)).cpu())
        return torch.cat(rows).numpy()

    @property
    def images_at_once(self) -> int:
        """How many images :meth:`logits` takes through the network together."""
        return images_at_once(self.resolution, self.device)

    @property
    def description_sha256(self) -> str:
        """Digest of all that is saved beside the tensors: class names, taps, resolution, ..."""
        sealed = seal_description(
            self.description(), digest_tensors(self._saved()), file_format=CLASSIFIER_FORMAT
        )
        return str(sealed["seal"])

    def state_dict(self) -> dict[str, Tensor]:
        """Every tensor, ready for timm.

        With the last features as the only tap and no unit rows, exactly the state dict of
        ``timm.create_model(architecture, num_classes=N)``, classifier included. Otherwise the body
        under timm's own names and the head over the taps under ``head.``.
        """
        body = self.body_state_dict()
        if self.taps == (LAST,) and not self.head.unit_rows:
            weight_ND, bias_N = fold_single_tap(self.head)
            return body | {"classifier.weight": weight_ND, "classifier.bias": bias_N}
        return body | self._head_tensors()

    def tensors(self) -> dict[str, Tensor]:
        """The weights as ``weights_sha256`` digests them: body, and the head under ``head.``."""
        return self._body | self._head_tensors()

    def body_state_dict(self) -> dict[str, Tensor]:
        """State dict of ``timm.create_model(architecture, num_classes=0)``, loadable strictly."""
        counters = {
            name.removesuffix("running_mean") + "num_batches_tracked": torch.tensor(0)
            for name in self._body
            if name.endswith("running_mean")
        }
        return self._body | counters

    def save(self, folder: Path | str) -> None:
        """Write ``classifier.safetensors`` and ``classifier.json`` into ``folder``.

        Raises
        ------
        StoreError: the folder cannot be written.
        """
        write_sealed(
            Path(folder),
            _STEM,
            self._saved(),
            self.description(),
            file_format=CLASSIFIER_FORMAT,
        )

    @classmethod
    def load(
        cls, folder: Path | str, *, device: torch.device | str = "cpu"
    ) -> SynthesizedClassifier:
        """Read a saved classifier.

        Raises
        ------
        UnknownNameError: there is none in ``folder``.
        IntegrityError: a file is foreign, corrupted or altered.
        """
        content = read_sealed(Path(folder), _STEM, file_format=CLASSIFIER_FORMAT)
        return cls.from_tensors(content.tensors, content.description, device=device)

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, Tensor],
        description: Mapping[str, Any],
        *,
        device: torch.device | str = "cpu",
    ) -> SynthesizedClassifier:
        """The inverse of :meth:`tensors` and :meth:`description`.

        ``tensors`` may hold codes under ``codes.``; ``description`` may hold further entries.
        """
        head = LinearHead.from_tensors(
            {name: tensors[_HEAD + name] for name in _HEAD_TENSORS},
            unit_rows=description["unit_rows"],
        )
        return cls(
            {name: tensor for name, tensor in tensors.items() if not name.startswith(_NO_BODY)},
            head,
            class_names=description["class_names"],
            architecture=description["architecture"],
            resolution=description["resolution"],
            taps=description["taps"],
            details=description["details"],
            codes={
                name.removeprefix(CODES): tensor
                for name, tensor in tensors.items()
                if name.startswith(CODES)
            },
            device=device,
        )

    def description(self) -> dict[str, Any]:
        """What is saved beside the tensors, ready for JSON."""
        return {
            "architecture": self.architecture,
            "class_names": list(self.class_names),
            "details": self.details,
            "resolution": self.resolution,
            "taps": list(self.taps),
            "unit_rows": self.head.unit_rows,
        }

    def _head_tensors(self) -> dict[str, Tensor]:
        return {_HEAD + name: tensor for name, tensor in self.head.tensors().items()}

    def _saved(self) -> dict[str, Tensor]:
        return self.tensors() | {CODES + name: tensor for name, tensor in self.codes.items()}


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
