"""Frozen features of a benchmark's images, computed once for all methods and episodes."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass

import numpy as np
import torch

from sgps.evaluation.methods import Images
from sgps.evaluation.metrics import Floats, Ints
from sgps.synthesizer.tapped_network import InputNormalisation, TappedNetwork, tap_layout

VIEWS = 4
"""Support views that any method may use: as given, mirrored, upside down, turned by 180 degrees."""

_BATCH = 32


def view_of(images: Images, view: int) -> Images:
    """Return one of the views of images uint8 (S, 3, H, W)."""
    if view & 1:
        images = images[..., ::-1]
    if view & 2:
        images = images[..., ::-1, :]
    return np.ascontiguousarray(images)


def wait_for(device: torch.device) -> None:
    """Return when a GPU has done what it was given; at once on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass
class _Known:
    """Features of the rows of a pool that were asked for; `pool` tells when it is gone."""

    pool: weakref.ref[Images]
    features_MD: np.ndarray
    known_M: np.ndarray


class TapBank:
    """Tap features of one body; each image is encoded when it is first asked for.

    Features are kept as long as the pool that they are of, which the bank does not keep.

    Parameters
    ----------
    name: of the base, as it stands in the names of methods.
    network: the tapped body in eval mode; its centre taps are no business of baselines.
    version: digest of its weights.
    normalise: from uint8 images to the network's input range.
    """

    def __init__(
        self, name: str, network: TappedNetwork, version: str, normalise: InputNormalisation
    ) -> None:
        self.name = name
        self.network = network.without_centres()
        self._encoder = network
        self.version = version
        self.normalise = normalise
        layout = tap_layout(network)
        self.widths = layout.plain_widths
        self._centre_taps = len(layout.centre_of)
        self._ends = np.cumsum(layout.widths)
        self._known: dict[tuple[int, int], _Known] = {}
        self._seconds = 0.0
        self._images = 0

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.normalise.mean.device

    @property
    def pools(self) -> int:
        """Of how many pools there are features."""
        return len({pool for pool, _ in self._known})

    @property
    def seconds_per_image(self) -> float:
        """Mean time of encoding one image."""
        return self._seconds / max(self._images, 1)

    def taps(self, pool: Images, rows: Ints, view: int = 0) -> tuple[Floats, ...]:
        """Return float64 (len(rows), D_t) for each plain tap, of a pool uint8 (M, 3, H, W)."""
        return self.every_tap(pool, rows, view)[self._centre_taps :]

    def every_tap(self, pool: Images, rows: Ints, view: int = 0) -> tuple[Floats, ...]:
        """Return float64 (len(rows), D_t) for each tap, centre taps first."""
        known = self._known_of(pool, view)
        missing = np.unique(rows[~known.known_M[rows]])
        if len(missing):
            self._encode(known, pool, missing, view)
        features = known.features_MD[rows].astype(np.float64)
        return tuple(np.split(features, self._ends[:-1], axis=1))

    def last(self, pool: Images, rows: Ints, view: int = 0) -> Floats:
        """Return the last features, float64 (len(rows), D): those before timm's own classifier."""
        return self.taps(pool, rows, view)[-1]

    def _known_of(self, pool: Images, view: int) -> _Known:
        kept, key = self._known, (id(pool), view)
        if key not in kept:
            kept[key] = _Known(
                weakref.ref(pool, lambda _: kept.pop(key, None)),
                np.zeros((len(pool), int(self._ends[-1])), dtype=np.float32),
                np.zeros(len(pool), dtype=bool),
            )
        return kept[key]

    def _encode(self, known: _Known, pool: Images, rows: Ints, view: int) -> None:
        start = time.perf_counter()
        with torch.inference_mode():
            for first in range(0, len(rows), _BATCH):
                block = rows[first : first + _BATCH]
                images = torch.from_numpy(view_of(pool[block], view)).to(self.device)
                taps = self._encoder(self.normalise(images))
                known.features_MD[block] = torch.cat(taps, dim=1).cpu().numpy()
        known.known_M[rows] = True
        self._seconds += time.perf_counter() - start
        self._images += len(rows)
