"""Whether two classifiers say the same of images, known classes and all."""

from __future__ import annotations

import numpy as np

from sgps.synthesizer import SynthesizedClassifier
from sgps.synthesizer.scoring import Assessment

from .conftest import random_images


def assert_same_assessment(one: Assessment, other: Assessment) -> None:
    np.testing.assert_array_equal(one.probs_QN, other.probs_QN)
    np.testing.assert_array_equal(one.margin_Q, other.margin_Q)
    np.testing.assert_array_equal(one.familiarity_Q, other.familiarity_Q)
    assert one.resembles_Q == other.resembles_Q


def assert_the_same(expanded: SynthesizedClassifier, classifier: SynthesizedClassifier) -> None:
    assert expanded.description_sha256 == classifier.description_sha256
    assert expanded.weights_sha256 == classifier.weights_sha256
    images = random_images(3, 5)
    assert_same_assessment(expanded.assess(images), classifier.assess(images))
