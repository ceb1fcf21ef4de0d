"""A synthesized classifier as one ONNX file, for runtimes without Python or torch."""

from __future__ import annotations

import contextlib
import copy
import errno
import importlib.util
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgps.errors import OperatorError, StoreError
from sgps.synthesizer.classifier import SynthesizedClassifier
from sgps.synthesizer.scoring import Scorer

INPUT_NAME, OUTPUT_NAME = "images", "logits"
ONNX_TOLERANCE = 1e-4
"""Largest difference of a logit to torch's that a written file may have."""

_OPSET = 18
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def export_onnx(
    classifier: SynthesizedClassifier, path: Path | str, *, check: bool = True
) -> float:
    """Write a classifier as ONNX; return the largest difference of its logits to torch's.

    The file's input ``images`` is uint8 RGB of shape (Q, 3, R, R), any Q, as
    `sgps.synthesizer.scoring.images_to_tensor` makes it: the shorter side resized to R, the
    middle cropped. Scaling to the network's input range is part of the file. Its output ``logits``
    is float32 (Q, N); softmax over N gives the probabilities. Class names (a JSON list in the order
    of N), resolution, target network and digest of the weights stand in the file's metadata.

    With ``check`` the file is run by onnxruntime (:func:`onnx_difference`) before it takes its
    place; without, nothing is run and the result is NaN.

    Raises
    ------
    OperatorError: a package of the ``onnx`` extra is not installed, or the file's logits differ
        from torch's by more than ``ONNX_TOLERANCE``.
    StoreError: the file cannot be written.
    """
    _require_packages()
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".onnx-") as scratch:
            written = Path(scratch) / path.name
            _translate(classifier).save(str(written), external_data=False)
            difference = float("nan")
            if check:
                difference = onnx_difference(classifier, written)
                _require_agreement(difference)
            written.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror or error}",
            expected="a file in a writable folder",
            remedy="choose another path",
        ) from error
    return difference


def _translate(classifier: SynthesizedClassifier) -> Any:
    scorer = _plain_scorer(classifier)
    example = _random_images(classifier.resolution, 2, seed=0)
    with _quiet():
        program = torch.onnx.export(
            scorer,
            (example,),
            dynamo=True,
            opset_version=_OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    program.model.producer_name = "sgps"
    program.model.metadata_props.update(
        {
            "class_names": json.dumps(list(classifier.class_names), ensure_ascii=False),
            "resolution": str(classifier.resolution),
            "architecture": classifier.architecture,
            "weights_sha256": classifier.weights_sha256,
            "input": "uint8 RGB (Q, 3, R, R), shorter side resized to R, middle cropped",
        }
    )
    return program


def onnx_difference(classifier: SynthesizedClassifier, path: Path | str) -> float:
    """Largest difference of a logit between a written file and torch.

    onnxruntime and torch score batches of 1 and 7 images, noise and smooth ones in turn.
    """
    import onnxruntime  # noqa: PLC0415 - an extra

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = 0.0
    for seed, count in enumerate((1, 7)):
        images = _random_images(classifier.resolution, count, seed=seed)
        with torch.inference_mode():
            expected = classifier.scorer(images.to(classifier.device)).cpu()
        actual = torch.from_numpy(session.run([OUTPUT_NAME], {INPUT_NAME: images.numpy()})[0])
        largest = max(largest, float((actual - expected).abs().max()))
    return largest


def _require_agreement(difference: float) -> None:
    if not difference <= ONNX_TOLERANCE:
        raise OperatorError(
            f"logits of the ONNX file differ from torch's by {difference:.2g}, more than"
            f" {ONNX_TOLERANCE:.0e}: onnxruntime and torch do not agree on this machine"
        )


def _plain_scorer(classifier: SynthesizedClassifier) -> Scorer:
    """A copy on the CPU without in-place activations, which take the exporter twice as long."""
    scorer = copy.deepcopy(classifier.scorer).cpu()
    for module in scorer.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    return scorer


def _random_images(resolution: int, count: int, *, seed: int) -> Tensor:
    """Noise, and smooth fields as photographs have them, in turn."""
    random = torch.Generator().manual_seed(seed)
    shape = (count, 3, resolution, resolution)
    noise = torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
    coarse = torch.rand((count, 3, 6, 6), generator=random) * 255
    smooth = torch.nn.functional.interpolate(
        coarse, (resolution, resolution), mode="bilinear", align_corners=False
    )
    noise[::2] = smooth[::2].to(torch.uint8)
    return noise


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise OperatorError(
            f"ONNX export needs the package {missing[0]}: install it with pip install 'sgps[onnx]'"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress off the terminal; its errors still come as exceptions."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
