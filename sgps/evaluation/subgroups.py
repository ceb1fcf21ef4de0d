"""Groups of people whose images are judged apart: by sex, age and skin type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sgps.evaluation.intervals import pooled_share
from sgps.evaluation.metrics import Floats, Ints

SEXES = ("female", "male")
AGE_BANDS = ("0-29", "30-59", "60+")
SKIN_TYPES = ("I-II", "III-IV", "V-VI")

_AGE_EDGES = (30, 60)
_FITZPATRICK = r"(?:^|;)\s*fitzpatrick=\s*([1-6])(?:\.0)?\s*(?:;|$)"
_UNKNOWN = -1


@dataclass(frozen=True)
class Subgroups:
    """To which group each of M images belongs.

    Attributes
    ----------
    names: attribute -> its groups.
    codes: attribute -> number of the group (M,) of each image, -1 where it is unknown.
    people_M: number of the person or lesion that each image shows.
    """

    names: Mapping[str, tuple[str, ...]]
    codes: Mapping[str, Ints]
    people_M: Ints

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Subgroups:
        """Read the columns sex, age and extra (``fitzpatrick=3``), where the frame has them.

        An attribute that is known of no image is left out. Images of one value of the column group
        show one person or lesion; without that column each shows another.
        """
        found = {
            "sex": (SEXES, _sex_codes(frame)),
            "age": (AGE_BANDS, _age_codes(frame)),
            "skin_type": (SKIN_TYPES, _skin_codes(frame)),
        }
        known = {name: pair for name, pair in found.items() if (pair[1] != _UNKNOWN).any()}
        return cls(
            {name: names for name, (names, _) in known.items()},
            {name: codes for name, (_, codes) in known.items()},
            _people(frame),
        )

    def count(self, rows: Ints, hits_Q: Floats) -> dict[str, tuple[Floats, Floats]]:
        """Return attribute -> (hits, queries), each (groups,), of queries in ``rows`` (Q,)."""
        counted = {}
        for name, codes_M in self.codes.items():
            codes_Q = codes_M[rows]
            known_Q = codes_Q != _UNKNOWN
            groups = len(self.names[name])
            counted[name] = (
                _sums(codes_Q[known_Q], hits_Q[known_Q], groups),
                _sums(codes_Q[known_Q], np.ones(known_Q.sum()), groups),
            )
        return counted

    def shares(
        self, episodes: Sequence[Mapping[str, tuple[Floats, Floats]]], rows: Ints
    ) -> dict[str, dict[str, dict[str, float]]]:
        """Return attribute -> group -> mean, low, high, queries, images and groups.

        ``images`` is the number of different images among the queries of the group, ``groups`` that
        of the people or lesions on them. Groups with queries in fewer than two episodes are left
        out.

        episodes: what `count` gave. rows: of all queries of all episodes, in any order.
        """
        measured: dict[str, dict[str, dict[str, float]]] = {}
        shown = np.unique(rows)
        for name, groups in self.names.items():
            hits_EG = np.stack([counted[name][0] for counted in episodes])
            counts_EG = np.stack([counted[name][1] for counted in episodes])
            measured[name] = {
                group: {
                    **pooled_share(hits_EG[:, place], counts_EG[:, place])._asdict(),
                    "queries": int(counts_EG[:, place].sum()),
                    **self._distinct(shown[self.codes[name][shown] == place]),
                }
                for place, group in enumerate(groups)
                if np.count_nonzero(counts_EG[:, place]) > 1
            }
        return {name: groups for name, groups in measured.items() if groups}

    def _distinct(self, rows: Ints) -> dict[str, int]:
        return {"images": len(rows), "groups": len(np.unique(self.people_M[rows]))}


def _people(frame: pd.DataFrame) -> Ints:
    if "group" not in frame:
        return np.arange(len(frame))
    return np.unique(frame["group"].astype("str"), return_inverse=True)[1].astype(np.int64)


def _sums(codes_Q: Ints, weights_Q: Floats, groups: int) -> Floats:
    return np.bincount(codes_Q, weights=weights_Q, minlength=groups).astype(np.float64)


def _sex_codes(frame: pd.DataFrame) -> Ints:
    sexes = _strings(frame, "sex").str.lower().replace({"f": "female", "m": "male"})
    return np.select([sexes == name for name in SEXES], range(len(SEXES)), _UNKNOWN)


def _age_codes(frame: pd.DataFrame) -> Ints:
    if "age" not in frame:
        return np.full(len(frame), _UNKNOWN)
    ages_M = frame["age"].to_numpy(dtype=np.float64)
    bands_M = np.digitize(ages_M, _AGE_EDGES).astype(np.int64)
    return np.where(np.isnan(ages_M), _UNKNOWN, bands_M)


def _skin_codes(frame: pd.DataFrame) -> Ints:
    types = _strings(frame, "extra").str.extract(_FITZPATRICK)[0]
    bands_M = (types.astype("float64").to_numpy() - 1) // 2
    return np.where(np.isnan(bands_M), _UNKNOWN, bands_M).astype(np.int64)


def _strings(frame: pd.DataFrame, column: str) -> pd.Series:
    if column not in frame:
        return pd.Series([""] * len(frame), dtype="str")
    return frame[column].fillna("").astype("str").str.strip()
