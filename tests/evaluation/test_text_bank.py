"""Texts are embedded once, and loading the encoder takes no part in the time of a text."""

import time

import numpy as np
import pytest
import torch

from sgps.encoders.text import load_text_encoder
from sgps.evaluation.text_bank import TextBank, any_described


class Counting:
    def __init__(self):
        self.embedded = []
        self._encode = load_text_encoder().encode

    def __call__(self, texts):
        self.embedded.extend(texts)
        return self._encode(texts)


def test_each_text_is_embedded_once_but_the_first():
    encode = Counting()
    bank = TextBank(encode)
    vectors_NF = bank.vectors(["red", "", "red"])
    bank.vectors(["", "green"])
    assert encode.embedded == ["red", "red", "", "green"]
    np.testing.assert_array_equal(vectors_NF[0], vectors_NF[2])
    np.testing.assert_array_equal(vectors_NF[1], 0)
    np.testing.assert_allclose(np.linalg.norm(vectors_NF[0]), 1, rtol=1e-6)
    assert bank.seconds_per_text > 0


def test_vectors_are_those_of_the_encoder_bit_for_bit():
    [vector_F] = TextBank(load_text_encoder().encode).vectors(["a pale spot"])
    [expected_F] = load_text_encoder().encode(["a pale spot"])
    assert vector_F.dtype == np.float64
    np.testing.assert_array_equal(vector_F.astype(np.float32), expected_F.numpy())


def test_loading_is_not_counted():
    loaded = []

    def encode(texts):
        if not loaded and any(texts):
            time.sleep(0.5)
            loaded.append(True)
        return torch.zeros(len(texts), 2)

    bank = TextBank(encode)
    bank.vectors(["", "red"])
    assert loaded
    assert bank.seconds_per_text < 0.25


@pytest.mark.parametrize(("texts", "found"), [((), False), (("", " "), False), (("", "a"), True)])
def test_described(texts, found):
    assert any_described(texts) is found
