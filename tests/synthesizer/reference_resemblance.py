"""Resemblance to known classes in numpy, from its definition: image by image, class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Floats = np.ndarray


def head_row(tap_D: Floats, centre_D: Floats, scale_D: Floats, *, unit_rows: bool) -> Floats:
    """What the head's linear layer sees of an image, from its taps side by side."""
    row_D = (tap_D - centre_D) * scale_D
    return row_D / np.linalg.norm(row_D) if unit_rows else row_D


def direction(rows: Sequence[Floats], shrink_DD: Floats) -> Floats:
    """Of unit length, where the whitened ``rows`` of a class lie on the mean."""
    mean_D = sum(shrink_DD @ row_D for row_D in rows) / len(rows)
    return mean_D / np.linalg.norm(mean_D)


def own_directions(
    rows: Sequence[Floats], classes: Sequence[int], shrink_DD: Floats, *, without: int = -1
) -> list[Floats]:
    """Of each class of the task, by number; the image ``without`` is not looked at."""
    found = []
    for number in range(max(classes) + 1):
        kept = [
            row_D
            for place, (row_D, label) in enumerate(zip(rows, classes, strict=True))
            if label == number and place != without
        ]
        found.append(direction(kept, shrink_DD))
    return found


def rows_of_dataset(means: Floats, widths: Sequence[int], weights: Sequence[float]) -> Floats:
    """Class means of a dataset as if they were one support: scaled tap by tap, of unit length."""
    around = means - means.mean(axis=0)
    scaled, start = [], 0
    for width, weight in zip(widths, weights, strict=True):
        part = around[:, start : start + width]
        scaled.append(part * weight / np.sqrt((part**2).sum(axis=1).mean() + 1e-8))
        start += width
    rows = np.concatenate(scaled, axis=1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows - rows.mean(axis=0)


def discriminant(
    datasets: Sequence[Floats], shrink_DD: Floats, within_DD: Floats, ridge: float
) -> Floats:
    """The products (D, D) of plain rows, from the class rows (C, D) of each dataset."""
    span = np.concatenate([rows[:-1] for rows in datasets]) @ shrink_DD
    within_KK = span @ within_DD @ span.T
    within_KK += ridge * within_KK.diagonal().mean() * np.eye(len(span))
    return shrink_DD @ span.T @ np.linalg.solve(within_KK, span @ shrink_DD)


def cosine(first_D: Floats, second_D: Floats, product_DD: Floats) -> float:
    """Of two rows where their product is that of the discriminant."""
    lengths = [np.sqrt(row_D @ product_DD @ row_D) for row_D in (first_D, second_D)]
    return float(first_D @ product_DD @ second_D / (lengths[0] * lengths[1]))


def margin(
    row_D: Floats,
    own: Sequence[Floats],
    foreign: Sequence[Floats],
    shrink_DD: Floats,
    product_DD: Floats,
) -> tuple[float, int]:
    """Best own resemblance less three quarters of the best foreign one, and the latter's number."""
    at_home = max(float(shrink_DD @ row_D @ direction_D) for direction_D in own)
    elsewhere = [cosine(row_D, known_D, product_DD) for known_D in foreign]
    return at_home - 0.75 * max(elsewhere), int(np.argmax(elsewhere))


def reference_foreign_margin(
    rows: Sequence[Floats],
    classes: Sequence[int],
    foreign: Sequence[Floats],
    shrink_DD: Floats,
    product_DD: Floats,
) -> float | None:
    """The margin that a tenth of the images have less of, each taken out of its class in turn.

    Between two images it is on the straight line between theirs.
    """
    margins = sorted(
        margin(
            row_D,
            own_directions(rows, classes, shrink_DD, without=place),
            foreign,
            shrink_DD,
            product_DD,
        )[0]
        for place, row_D in enumerate(rows)
        if list(classes).count(classes[place]) > 1
    )
    if not margins:
        return None
    place, part = divmod(0.1 * (len(margins) - 1), 1)
    lower = margins[int(place)]
    return lower + part * (margins[min(int(place) + 1, len(margins) - 1)] - lower)
