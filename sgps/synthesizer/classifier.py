"""A synthesized classifier: an immutable set of weights that runs with timm alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgps.errors import InputError, IntegrityError
from sgps.synthesizer.head import LinearHead, fold_single_tap
from sgps.synthesizer.resemblance import Resemblance
from sgps.synthesizer.scoring import Assessment, Scorer, images_to_tensor
from sgps.synthesizer.sealed import (
    DigestStart,
    digest_tensors,
    read_sealed,
    seal_description,
    write_sealed,
)
from sgps.synthesizer.tapped_network import (
    LAST,
    InputNormalisation,
    build_tapped_network,
    fold_normalisations,
    images_at_once,
    use_channels_last,
)
from sgps.synthesizer.task import Pixels

CLASSIFIER_FORMAT = "sgps-classifier-2"
_BEFORE_THE_DISCRIMINANT = "sgps-classifier-1"
_STEM = "classifier"
_HEAD_TENSORS = ("centre", "scale", "weight", "bias")
_HEAD = "head."
CODES = "codes."
RESEMBLANCE = "resemblance."
"""What the names of those tensors begin with that a saved classifier has beside its weights."""
BESIDE = (CODES, RESEMBLANCE)
_NO_BODY = (_HEAD, *BESIDE)
KNOWN_CLASSES = "known_classes"


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
    centres: widths of the means around the middle that it reads of those blocks besides.
    details: JSON-able facts of the synthesis (generator, temperature, seconds, ...).
    codes: the generator's own words for the task, by name (see `sgps.synthesizer.compact`); they
        are kept beside the weights and no part of them.
    resemblance: to classes known from meta-training, kept likewise; None where none are known.
    body_digest: of the body, where it was taken before; it is taken again otherwise.
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
        centres: Sequence[float] = (),
        codes: Mapping[str, Tensor] | None = None,
        resemblance: Resemblance | None = None,
        body_digest: DigestStart | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.class_names = tuple(class_names)
        self.architecture = architecture
        self.resolution = resolution
        self.taps = tuple(taps)
        self.centres = tuple(centres)
        self.details = dict(details)
        self.device = torch.device(device)
        self._body = {name: tensor.detach().cpu() for name, tensor in body.items()}
        self.head = head.to(torch.device("cpu"))
        self.codes = {name: tensor.detach().cpu() for name, tensor in (codes or {}).items()}
        self.resemblance = resemblance.to(torch.device("cpu")) if resemblance else None
        weights = self.tensors()
        digest = body_digest.go_on(weights) if body_digest else None
        self.weights_sha256 = digest or digest_tensors(weights)

    @cached_property
    def scorer(self) -> Scorer:
        """From uint8 images (Q, 3, R, R) to logits (Q, N); normalisation layers are folded."""
        with torch.device("meta"):
            network = build_tapped_network(
                self.architecture, taps=self.taps, centres=self.centres, pretrained=False
            )
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

        By default as many as the device is fastest with. Raises as :meth:`rows` does.
        """
        logits: NDArray[np.float32] = self._through(self.scorer, images, batch).numpy()
        return logits

    def rows(self, images: Sequence[Pixels] | Pixels) -> Tensor:
        """Rows (Q, D) of images that the head's linear layer sees, on the CPU.

        Raises
        ------
        InputError: there is no image, or one is not uint8 of shape (H, W, 3).
        """
        return self._through(self.scorer.rows, images)

    def assess(self, images: Sequence[Pixels] | Pixels) -> Assessment:
        """Class probabilities, and how far each image is at home; raises as :meth:`rows` does."""
        rows_QD = self.rows(images)
        probs_QN = self.head.scores(rows_QD).softmax(dim=1).numpy()
        if self.resemblance is None:
            return Assessment(probs_QN)
        margin_Q, index_Q = self.resemblance.margins(rows_QD)
        names = tuple(self.resemblance.names[number] for number in index_Q.tolist())
        return Assessment(probs_QN, margin_Q.numpy(), names)

    def _through(
        self,
        stage: Callable[[Tensor], Tensor],
        images: Sequence[Pixels] | Pixels,
        batch: int | None = None,
    ) -> Tensor:
        if len(images) == 0:
            raise InputError("no image to predict", expected="at least one image")
        batch = batch or self.images_at_once
        outputs: list[Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(images), batch):
                block = images_to_tensor(images[start : start + batch], self.resolution)
                outputs.append(stage(block.to(self.device)).cpu())
        return torch.cat(outputs)

    @property
    def images_at_once(self) -> int:
        """How many images :meth:`logits` takes through the network together."""
        return images_at_once(self.resolution, self.device)

    @property
    def description_sha256(self) -> str:
        """Digest of all that is saved beside the tensors: class names, taps, resolution, ..."""
        sealed = seal_description(
            self.description(), digest_tensors(self._saved()), file_format=self._format
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
            file_format=self._format,
        )

    @property
    def _format(self) -> str:
        """The first that says all there is: what was made before is sealed as it was."""
        known = self.resemblance is not None and self.resemblance.projection_DK is not None
        return CLASSIFIER_FORMAT if known else _BEFORE_THE_DISCRIMINANT

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
        content = read_sealed(
            Path(folder), _STEM, file_format=CLASSIFIER_FORMAT, or_else=(_BEFORE_THE_DISCRIMINANT,)
        )
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

        ``tensors`` may hold what is :meth:`beside` the weights, ``description`` further entries.
        """
        return cls(
            {name: tensor for name, tensor in tensors.items() if not name.startswith(_NO_BODY)},
            head_of(tensors, description),
            class_names=description["class_names"],
            architecture=description["architecture"],
            resolution=description["resolution"],
            taps=description["taps"],
            centres=description.get("centres", ()),
            details=description["details"],
            codes=_under(CODES, tensors),
            resemblance=_resemblance(_under(RESEMBLANCE, tensors), description),
            device=device,
        )

    def description(self) -> dict[str, Any]:
        """What is saved beside the tensors, ready for JSON."""
        known = {KNOWN_CLASSES: list(self.resemblance.names)} if self.resemblance else {}
        return {
            "architecture": self.architecture,
            "class_names": list(self.class_names),
            "details": self.details,
            "resolution": self.resolution,
            "taps": list(self.taps),
            **({"centres": list(self.centres)} if self.centres else {}),
            "unit_rows": self.head.unit_rows,
            **known,
        }

    def beside(self) -> dict[str, Tensor]:
        """What is saved beside the weights: codes, and the resemblance to known classes."""
        resemblance = self.resemblance.tensors() if self.resemblance else {}
        return {CODES + name: tensor for name, tensor in self.codes.items()} | {
            RESEMBLANCE + name: tensor for name, tensor in resemblance.items()
        }

    def _head_tensors(self) -> dict[str, Tensor]:
        return {_HEAD + name: tensor for name, tensor in self.head.tensors().items()}

    def _saved(self) -> dict[str, Tensor]:
        return self.tensors() | self.beside()


def head_of(tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> LinearHead:
    """The head among the tensors of a classifier of this description."""
    return LinearHead.from_tensors(
        {name: tensors[_HEAD + name] for name in _HEAD_TENSORS}, unit_rows=description["unit_rows"]
    )


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _resemblance(
    tensors: Mapping[str, Tensor], description: Mapping[str, Any]
) -> Resemblance | None:
    names = description.get(KNOWN_CLASSES, [])
    if not tensors:
        return None
    resemblance = Resemblance.from_tensors(tensors, names)
    counted = resemblance.ways, len(resemblance.known_CK)
    if not names or counted != (len(description["class_names"]), len(names)):
        raise IntegrityError(
            f"{len(names)} known classes are named, and directions of others are kept",
            expected="the classifier as SGPS wrote it",
        )
    return resemblance
