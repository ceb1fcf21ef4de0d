from __future__ import annotations

import pytest
import torch

from sgps.synthesizer.support_labels import SupportLabels
from sgps.synthesizer.text_evidence import text_strength

DOUBLE = torch.float64


@pytest.mark.parametrize("shots", [1, 3])
def test_a_text_counts_as_far_as_the_images_agree_with_it(shots: int) -> None:
    class_S = torch.arange(3).repeat_interleave(shots)
    targets_SN = SupportLabels(class_S, 3, DOUBLE).one_hot_SN - 1 / 3
    kernel_SS = 0.5 * torch.eye(len(class_S), dtype=DOUBLE)
    strengths = [
        float(text_strength(kernel_SS, factor * targets_SN, targets_SN))
        for factor in (3.0, 0.5, 0.0, -0.01, -0.5)
    ]
    too_strong, right, absent, doubtful, wrong = strengths
    assert 1 / 3 < too_strong < 0.4
    assert right == absent == 1.0
    assert 0.7 < doubtful < 1.0
    assert wrong == 0.0
