"""Where the classes of meta-training differ from one another: a linear discriminant of them.

Fisher's: directions in which class means differ, in units of how much images of one class do. The
class means of each dataset are taken as one image each of a support; the covariance within classes
is what the whitening knows of it.

Shapes: C known classes, T taps, D features that the head's linear layer sees, K directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sgps.synthesizer.head import LinearHead, unit_rows_of_domain
from sgps.synthesizer.head_parameters import HeadParameters, Whitening
from sgps.synthesizer.known_classes import KnownClasses

_RIDGE = 1e-6
"""Of the mean variance along class means, so that classes which look alike do no harm."""


@dataclass(frozen=True, eq=False)
class KnownBackground:
    """Known classes as they are seen from any task.

    Attributes
    ----------
    names: of the known classes.
    projection_DK: from rows of the head to the discriminant, float16.
    by_tap_TCK: the known classes' means, tap by tap, projected without centre and scale; float64.
    widths: features D_t of each tap.
    """

    names: tuple[str, ...]
    projection_DK: Tensor
    by_tap_TCK: Tensor
    widths: tuple[int, ...]

    @classmethod
    def of(
        cls,
        known: KnownClasses,
        widths: Sequence[int],
        parameters: HeadParameters,
        *,
        floor: float,
    ) -> KnownBackground | None:
        """None where no dataset has two known classes that differ.

        All in double precision, since half precision is kept: what is kept is then the same
        wherever it is made.

        Parameters
        ----------
        widths: features D_t of each tap.
        parameters: of the head; its whitening, tap weights and centre taps are used.
        floor: variance within classes in directions that the whitening does not know, in units of
            the variance at which it takes half of a direction away.
        """
        means_CD = known.means_CD.double()
        rows_KD = _rows_by_dataset(known.names, torch.split(means_CD, list(widths), 1), parameters)
        if not bool(rows_KD.any()):
            return None
        projection_KD = _discriminant(rows_KD, parameters.whitening, floor)
        projection_DK = (projection_KD / projection_KD.abs().max()).T.half()
        parts = zip(
            torch.split(means_CD, list(widths), dim=1),
            torch.split(projection_DK.double(), list(widths)),
            strict=True,
        )
        by_tap_TCK = torch.stack([mean_CD @ part_DK for mean_CD, part_DK in parts])
        return cls(known.names, projection_DK, by_tap_TCK, tuple(widths))

    def coordinates(self, head: LinearHead) -> Tensor:
        """Unit coordinates (C, K) of the known classes among the rows of a head, float16.

        The head scales all features of a tap alike, which spares the product of means and
        projection.
        """
        scale_D, centre_D = head.scale_D.double(), head.centre_D.double()
        starts = [sum(self.widths[:tap]) for tap in range(len(self.widths))]
        summed_CK = torch.einsum("t,tck->ck", scale_D[starts], self.by_tap_TCK)
        return normalize(
            summed_CK - (scale_D * centre_D) @ self.projection_DK.double(), dim=1
        ).half()


def _rows_by_dataset(
    names: Sequence[str], taps: Sequence[Tensor], parameters: HeadParameters
) -> Tensor:
    """Rows (K, D) of the class means of each dataset around their mean, all but one of each.

    Rows around their mean add up to nothing: one of them says nothing more.
    """
    datasets: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        datasets.setdefault(name.partition(": ")[0], []).append(number)
    rows = [taps[0].new_zeros(0, sum(tap.shape[1] for tap in taps))]
    for numbers in datasets.values():
        if len(numbers) > 1:
            rows_CD = unit_rows_of_domain(tuple(tap[numbers] for tap in taps), parameters)
            rows.append((rows_CD - rows_CD.mean(dim=0))[:-1])
    return torch.cat(rows)


def _discriminant(rows_KD: Tensor, whitening: Whitening | None, floor: float) -> Tensor:
    """The (K, D) that takes plain rows to where products are those of the discriminant.

    For whitened rows x and y the product is ``x M^T (M S M^T)^-1 M y``: both along the span of the
    class means M, in units of the covariance S within classes.
    """
    if whitening is None:
        white_KD, within_KK = rows_KD, rows_KD @ rows_KD.T
    else:
        whiten = Whitening(whitening.basis_RD.double(), whitening.shares_R.double())
        white_KD = whiten(rows_KD)
        along_KR = white_KD @ whiten.basis_RD.T
        left_R = 1 - (1 - whiten.shares_R).square()
        within_KK = floor * (white_KD @ white_KD.T) + (along_KR * (left_R - floor)) @ along_KR.T
        white_KD = whiten(white_KD)
    ridge = _RIDGE * within_KK.diagonal().mean()
    root_KK = torch.linalg.cholesky(within_KK + ridge * torch.eye(len(within_KK)).to(within_KK))
    projection_KD: Tensor = torch.linalg.solve_triangular(root_KK, white_KD, upper=False)
    return projection_KD
