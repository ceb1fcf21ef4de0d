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


def nearest_first(own: Sequence[Floats], known: Sequence[Floats]) -> list[int]:
    """Numbers of the known classes, from the one that some class of the task resembles most."""
    likeness = [max(float(mine_D @ other_D) for mine_D in own) for other_D in known]
    return sorted(range(len(known)), key=lambda number: -likeness[number])


def margin(
    row_D: Floats, own: Sequence[Floats], foreign: Sequence[Floats], shrink_DD: Floats
) -> tuple[float, int]:
    """Best own resemblance less the best foreign one, and the number of the latter."""
    white_D = shrink_DD @ row_D
    at_home = max(float(white_D @ direction_D) for direction_D in own)
    elsewhere = [float(white_D @ direction_D) for direction_D in foreign]
    return at_home - max(elsewhere), int(np.argmax(elsewhere))


def reference_foreign_margin(
    rows: Sequence[Floats],
    classes: Sequence[int],
    foreign: Sequence[Floats],
    shrink_DD: Floats,
) -> float | None:
    """The margin that a tenth of the images have less of, each taken out of its class in turn.

    Between two images it is on the straight line between theirs.
    """
    margins = sorted(
        margin(row_D, own_directions(rows, classes, shrink_DD, without=place), foreign, shrink_DD)[
            0
        ]
        for place, row_D in enumerate(rows)
        if list(classes).count(classes[place]) > 1
    )
    if not margins:
        return None
    place, part = divmod(0.1 * (len(margins) - 1), 1)
    lower = margins[int(place)]
    return lower + part * (margins[min(int(place) + 1, len(margins) - 1)] - lower)
