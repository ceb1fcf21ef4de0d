"""What a support says of the texts of its classes, in closed form.

Shapes: S support images, N classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

TEXT_TRUST = 0.5
"""Weight of the belief that a text is right, beside what a support says of it (see
:func:`text_strength`). Chosen on novel_val: no loss with right texts, a third to two thirds less
with those of other classes."""


def text_strength(kernel_SS: Tensor, prior_SN: Tensor, targets_SN: Tensor) -> Tensor:
    """How much of the text weights a support leaves standing, (...), in [0, 1].

    The factor on the texts' scores of the support that explains the targets best (generalised least
    squares under the kernel with its ridge), drawn to 1 by a belief of weight ``TEXT_TRUST``. Texts
    that agree with the images are taken whole, at one image a class too, and where images all alike
    make the kernel singular.
    """
    root_SS, singular = torch.linalg.cholesky_ex(kernel_SS)
    explained_SN = torch.cholesky_solve(prior_SN, root_SS)
    agreement = (explained_SN * targets_SN).sum(dim=(-2, -1))
    size = (explained_SN * prior_SN).sum(dim=(-2, -1))
    strength = ((agreement + TEXT_TRUST) / (size + TEXT_TRUST)).clamp(0.0, 1.0)
    told = (singular == 0) & strength.isfinite()
    return torch.where(told, strength, torch.ones_like(strength))
