"""A synthesized classifier: an immutable set of weights that runs with timm alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    build_tapped_network,
    use_channels_last,
)
from sgps.synthesizer.task import Pixels

CLASSIFIER_FORMAT = "sgps-classifier-1"
_STEM = "classifier"
_HEAD_TENSORS = ("centre", "scale", "weight", "bias")


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
        device: torch.device | str = "cpu",
    ) -> None:
        self.class_names = tuple(class_names)
        self.architecture = architecture
        self.resolution = resolution
        self.taps = tuple(taps)
        self.details = dict(details)
        self.device = torch.device(device)
        self._body = {name: tensor.detach().cpu() for name, tensor in body.items()}
        self._head = head.to(torch.device("cpu"))
        self.weights_sha256 = digest_tensors(self._all_tensors())
        with torch.device("meta"):
            self._network = build_tapped_network(architecture, taps=self.taps, pretrained=False)
        self._network.body.load_state_dict(self.body_state_dict(), strict=True, assign=True)
        use_channels_last(self._network.to(self.device))
        self._normalise = InputNormalisation(architecture).to(self.device)

    def predict_proba(self, images: Sequence[Pixels] | Pixels) -> NDArray[np.float32]:
        """Class probabilities, float32 of shape (Q, N), rows summing to one.

        ``images``: Q images of any size, each uint8 of shape (H, W, 3).
        """
        logits = torch.from_numpy(self.logits(images))
        probabilities: NDArray[np.float32] = logits.softmax(dim=1).numpy()
        return probabilities

    def logits(self, images: Sequence[Pixels] | Pixels, *, batch: int = 64) -> NDArray[np.float32]:
        """Logits, float32 of shape (Q, N), computed ``batch`` images at a time.

        Raises
        ------
        InputError: there is no image, or one is not uint8 of shape (H, W, 3).
        """
        if len(images) == 0:
            raise InputError("no image to predict", expected="at least one image")
        head = self._head.to(self.device)
        rows: list[Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(images), batch):
                block = images_to_tensor(images[start : start + batch], self.resolution)
                taps = self._network(self._normalise(block.to(self.device)))
                rows.append(head.logits(taps).cpu())
        return torch.cat(rows).numpy()

    @property
    def description_sha256(self) -> str:
        """Digest of all that is saved beside the tensors: class names, taps, resolution, ..."""
        sealed = seal_description(
            self._description(), self.weights_sha256, file_format=CLASSIFIER_FORMAT
        )
        return str(sealed["seal"])

    def state_dict(self) -> dict[str, Tensor]:
        """Every tensor, ready for timm.

        With the last features as the only tap and no unit rows, exactly the state dict of
        ``timm.create_model(architecture, num_classes=N)``, classifier included. Otherwise the body
        under timm's own names and the head over the taps under ``head.``.
        """
        body = self.body_state_dict()
        if self.taps == (LAST,) and not self._head.unit_rows:
            weight_ND, bias_N = fold_single_tap(self._head)
            return body | {"classifier.weight": weight_ND, "classifier.bias": bias_N}
        return body | self._head_tensors()

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
            self._all_tensors(),
            self._description(),
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
        tensors, description = content.tensors, content.description
        head = LinearHead.from_tensors(
            {name: tensors[f"head.{name}"] for name in _HEAD_TENSORS},
            unit_rows=description["unit_rows"],
        )
        return cls(
            {key: tensor for key, tensor in tensors.items() if not key.startswith("head.")},
            head,
            class_names=description["class_names"],
            architecture=description["architecture"],
            resolution=description["resolution"],
            taps=description["taps"],
            details=description["details"],
            device=device,
        )

    def _description(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture,
            "class_names": list(self.class_names),
            "details": self.details,
            "resolution": self.resolution,
            "taps": list(self.taps),
            "unit_rows": self._head.unit_rows,
        }

    def _head_tensors(self) -> dict[str, Tensor]:
        return {f"head.{name}": tensor for name, tensor in self._head.tensors().items()}

    def _all_tensors(self) -> dict[str, Tensor]:
        return self._body | self._head_tensors()


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
