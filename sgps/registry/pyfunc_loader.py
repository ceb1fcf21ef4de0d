"""A synthesized classifier as MLflow's python_function flavour wants it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sgps.datasets.decoding import decode_image
from sgps.errors import ImageError, InputError
from sgps.synthesizer.classifier import SynthesizedClassifier


class PyfuncClassifier:
    """A classifier behind MLflow's ``predict``."""

    def __init__(self, classifier: SynthesizedClassifier) -> None:
        self._classifier = classifier

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Class probabilities, one row an image, one column a class, rows summing to one.

        ``model_input`` is uint8 of shape (Q, H, W, 3); or, for images of several sizes, Q of them
        in a list or a one-dimensional object array, each uint8 of shape (H, W, 3), the bytes of an
        image file, or those bytes in base64. A data frame's images are passed as
        ``frame["image"].to_numpy(dtype=object)``.

        Raises
        ------
        InputError: an element is none of these. ImageError: an image file cannot be decoded.
        """
        images = [_pixels(value, number) for number, value in enumerate(_elements(model_input))]
        probabilities = self._classifier.predict_proba(images)
        return pd.DataFrame(probabilities, columns=list(self._classifier.class_names))

    def get_raw_model(self) -> SynthesizedClassifier:
        """The classifier itself."""
        return self._classifier


def _load_pyfunc(data_path: str) -> PyfuncClassifier:
    """For versions of 0.1.0; later ones name ``sgps.service.pyfunc_loader``."""
    return PyfuncClassifier(SynthesizedClassifier.load(Path(data_path)))


def _elements(model_input: Any) -> list[Any]:
    if isinstance(model_input, pd.DataFrame):
        if len(model_input.columns) != 1:
            raise InputError(
                f"a data frame with {len(model_input.columns)} columns",
                expected="one column of images",
            )
        model_input = model_input.iloc[:, 0]
    if isinstance(model_input, np.ndarray) and model_input.ndim not in (1, 4):
        raise InputError(
            f"an array of shape {model_input.shape}",
            expected="uint8 of shape (images, height, width, 3)",
        )
    return list(model_input)


def _pixels(value: Any, number: int) -> NDArray[np.uint8]:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, str):
        value = _from_base64(value, number)
    if isinstance(value, bytes):
        return decode_image(value, name=f"image {number}").pixels
    raise InputError(
        f"image {number} is of type {type(value).__name__}",
        expected="an array, the bytes of an image file, or base64 text",
    )


def _from_base64(text: str, number: int) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(
            f"image {number}: not base64 text", expected="an image file in base64"
        ) from error
