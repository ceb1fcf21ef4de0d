"""Where SGPS stands in a benchmark suite: its best rivals, and the bars that it has to meet.

A *setting* is one entry of ``suite["settings"]``: one dataset, number of ways and number of shots,
in the form of `BenchmarkReport.to_dict`. Differences are the accuracy of SGPS minus that of another
method, in 0..1, paired over the episodes that both ran, with a 95 % interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sgps.evaluation.corruptions import CLEAN
from sgps.evaluation.methods import SGPS

Setting = Mapping[str, Any]

BASES = ("public", "meta")
CLEAR_SETTINGS = ("ISIC-FS", "RareDerm-FS")
CLEAR_SHOTS = (1, 5)
LARGEST_CALIBRATION_ERROR = 0.08
CALIBRATION_SHOTS = 5
LEAST_ABSENT_AUROC = 0.70
FEWEST_PEOPLE = 10
"""Of fewer people or lesions in a subgroup no interval is told."""

CLEARLY_ABOVE = "clearly above"
AT_LEAST_EQUAL = "at least equal"
NOT_BELOW = "not below"
BELOW = "below"
NOT_JUDGED = "not judged"

_SPELLINGS = {
    "anil": "ANIL",
    "cnaps": "CNAPs",
    "jpeg": "JPEG",
    "lda": "LDA",
    "maml": "MAML",
    "protonet": "ProtoNet",
    "sgps": "SGPS",
}


class Difference(NamedTuple):
    """Accuracy of SGPS minus that of another method, its interval, and the episodes compared."""

    mean: float
    low: float
    high: float
    episodes: int


@dataclass(frozen=True)
class Standing:
    """SGPS in one setting against the baselines on either base, the best of them above all.

    Attributes
    ----------
    setting: the setting in words, as `setting_label` gives it.
    best: name of the best baseline, None where none can be compared.
    difference: to the best baseline, None where there is none.
    lowest: where the intervals to all baselines begin, at the lowest; None where there is none. A
        baseline on fewer episodes than the best may have the wider interval.
    clearly_better: the baselines whose whole interval lies below 0, the worst for SGPS first.
    clear_wanted: whether the bar asks SGPS to be clearly above here.
    """

    setting: str
    best: str | None
    difference: Difference | None
    lowest: float | None
    clearly_better: tuple[str, ...]
    clear_wanted: bool

    @property
    def strict(self) -> bool:
        """Whether the interval to every baseline begins at 0 or above."""
        return self.lowest is not None and self.lowest >= 0

    @property
    def lenient(self) -> bool:
        """Whether no baseline, the best among them, has an interval that ends below 0."""
        return self.difference is not None and not self.clearly_better

    @property
    def clearly_above(self) -> bool:
        """Whether the interval to every baseline begins above 0."""
        return self.lowest is not None and self.lowest > 0

    @property
    def verdict(self) -> str:
        """Return the reading in words: one of the five constants of this module."""
        if self.difference is None:
            return NOT_JUDGED
        if self.clearly_better:
            return BELOW
        if self.clearly_above:
            return CLEARLY_ABOVE
        return AT_LEAST_EQUAL if self.strict else NOT_BELOW


class PartWorth(NamedTuple):
    """What SGPS loses in one setting without one of its parts."""

    setting: str
    difference: Difference


def is_ablation(name: str) -> bool:
    """Whether a method is SGPS with something changed: ``sgps/<variant>``."""
    return name.startswith(f"{SGPS}/")


def is_baseline(name: str) -> bool:
    """Whether a method is neither SGPS nor one of its ablations."""
    return name != SGPS and not is_ablation(name)


def base_of(name: str) -> str:
    """Return the base that a baseline ``<base>/<name>`` runs on, "" where its name has none."""
    base, slash, _ = name.partition("/")
    return base if slash and is_baseline(name) else ""


def method_label(name: str) -> str:
    """Return a method's name for readers: a baseline without its base, an ablation as its part."""
    return "SGPS" if name == SGPS else in_words(name.partition("/")[2] or name)


def in_words(name: str) -> str:
    """Return a name such as ``jpeg`` or ``simple_cnaps`` for readers: JPEG, simple CNAPs."""
    return " ".join(_SPELLINGS.get(word, word) for word in name.split("_"))


def base_label(name: str) -> str:
    """Return the base of a baseline for readers, "" where it has none."""
    base = base_of(name)
    return "meta-trained" if base == "meta" else base


def full_label(name: str) -> str:
    """Return a method with its base: ``ridge taps, public base``."""
    base = base_label(name)
    return f"{method_label(name)}, {base} base" if base else method_label(name)


def setting_label(setting: Setting) -> str:
    """Return a setting in words, such as ``ISIC-FS, 3-way 1-shot``."""
    settings = setting["settings"]
    return f"{setting_name(setting)}, {settings['n_way']}-way {settings['k_shot']}-shot"


def setting_name(setting: Setting) -> str:
    """Return the name of a setting; where it has none, that of its dataset."""
    return str(setting["settings"].get("name") or setting["settings"]["dataset"])


def corruption_metrics(setting: Setting) -> dict[str, str]:
    """Return the metric of each corruption that a method was scored under; clean queries first.

    Empty where there is none. Clean queries are those of the same episodes; of a report that does
    not tell their accuracy apart, those of all episodes.
    """
    told = (metric for figures in setting["methods"].values() for metric in figures)
    found = [metric for metric in dict.fromkeys(told) if metric.startswith("accuracy:")]
    metrics = {metric.partition(":")[2]: metric for metric in found}
    return {CLEAN: metrics.pop(CLEAN, "accuracy"), **metrics} if metrics else {}


def subgroups_of(setting: Setting) -> list[tuple[str, str]]:
    """Return the (attribute, group) pairs that a method was scored in, attribute by attribute."""
    groups: dict[str, dict[str, None]] = {}
    for attributes in setting.get("subgroups", {}).values():
        for attribute, measured in attributes.items():
            groups.setdefault(attribute, {}).update(dict.fromkeys(measured))
    return [(attribute, group) for attribute, names in groups.items() for group in names]


def of_few_people(subgroup: Mapping[str, float]) -> bool:
    """Whether a subgroup has too few people or lesions for an interval, where that is known."""
    return subgroup.get("groups", FEWEST_PEOPLE) < FEWEST_PEOPLE


def difference_to(setting: Setting, name: str) -> Difference | None:
    """Return the paired difference of SGPS to a method; None where there is none."""
    paired = setting.get("paired", {}).get(name)
    if paired is None:
        return None
    episodes = paired.get("episodes", setting["settings"]["episodes"])
    return Difference(paired["difference"], paired["low"], paired["high"], int(episodes))


def best_baseline(
    setting: Setting,
    *,
    base: str | None = None,
    having: Callable[[str], bool] = lambda _: True,
) -> str | None:
    """Return the baseline that stands best against SGPS: whose paired difference is smallest.

    Methods that ran all episodes are so in the order of their accuracy; one that ran the first of
    them alone is compared on those, and not favoured or harmed by how easy they are.

    base: the baselines of this base alone. having: which of them it admits.
    """
    rivals = [
        (difference.mean, name)
        for name in setting["methods"]
        if is_baseline(name) and base in (None, base_of(name)) and having(name)
        if (difference := difference_to(setting, name)) is not None
    ]
    return min(rivals)[1] if rivals else None


def leaders(setting: Setting, *, having: Callable[[str], bool] = lambda _: True) -> list[str]:
    """Return SGPS and the best baseline of each base, of the methods that ``having`` admits."""
    own = [SGPS] if SGPS in setting["methods"] and having(SGPS) else []
    best = (best_baseline(setting, base=base, having=having) for base in (*BASES, ""))
    return [*own, *(name for name in best if name is not None)]


def judge_setting(setting: Setting) -> Standing:
    """Compare SGPS with the baselines of a setting."""
    best = best_baseline(setting)
    differences = {
        name: difference
        for name in setting["methods"]
        if is_baseline(name) and (difference := difference_to(setting, name)) is not None
    }
    below = sorted((each.mean, name) for name, each in differences.items() if each.high < 0)
    return Standing(
        setting=setting_label(setting),
        best=best,
        difference=None if best is None else differences[best],
        lowest=min((each.low for each in differences.values()), default=None),
        clearly_better=tuple(name for _, name in below),
        clear_wanted=(
            setting_name(setting).startswith(CLEAR_SETTINGS)
            and setting["settings"]["k_shot"] in CLEAR_SHOTS
        ),
    )


def judge_suite(suite: Mapping[str, Any]) -> list[Standing]:
    """Compare SGPS with the baselines of each setting, in the order of the suite."""
    return [judge_setting(setting) for setting in suite["settings"]]


def count_verdicts(standings: Sequence[Standing]) -> dict[str, int]:
    """Return how many settings meet bar 1.

    ``settings`` counts those that can be judged; ``strict`` and ``lenient`` are the two readings
    of the bar; ``below`` are those that miss even the lenient one; ``clear_met`` of
    ``clear_wanted`` are clearly above where the bar asks for it.
    """
    judged = [standing for standing in standings if standing.difference is not None]
    wanted = [standing for standing in judged if standing.clear_wanted]
    return {
        "settings": len(judged),
        "strict": sum(standing.strict for standing in judged),
        "lenient": sum(standing.lenient for standing in judged),
        "clearly_above": sum(standing.clearly_above for standing in judged),
        "below": sum(not standing.lenient for standing in judged),
        "clear_wanted": len(wanted),
        "clear_met": sum(standing.clearly_above for standing in wanted),
    }


def worth_of_parts(suite: Mapping[str, Any]) -> dict[str, list[PartWorth]]:
    """Return for each ablation ``sgps/<variant>`` what SGPS loses by it in each setting."""
    worth: dict[str, list[PartWorth]] = {}
    for setting in suite["settings"]:
        for name in filter(is_ablation, setting["methods"]):
            difference = difference_to(setting, name)
            if difference is not None:
                worth.setdefault(name, []).append(PartWorth(setting_label(setting), difference))
    return worth


def is_worth_something(worth: Sequence[PartWorth]) -> bool:
    """Whether taking the part away costs accuracy in at least one setting: interval above 0."""
    return any(part.difference.low > 0 for part in worth)


def share_text(interval: Mapping[str, float]) -> str:
    """Return a share in per cent with half the width of its interval: ``59.5 ± 1.5``."""
    half = (interval["high"] - interval["low"]) / 2
    return f"{100 * interval['mean']:.1f} ± {100 * half:.1f}"


def difference_text(difference: Difference) -> str:
    """Return a difference in points with its interval: ``+6.1 [+4.6, +7.6]``."""
    mean, low, high = (100 * value for value in difference[:3])
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
