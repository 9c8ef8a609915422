"""Two trials' members in; what differs between them, metric by metric and seed by seed, out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, unknown
from prepe.errors import PrepeError
from prepe.members.bootstrap import interval
from prepe.members.rows import Members, meaning

UNRESOLVED = "unresolved"


@dataclass(frozen=True)
class Paired:
    """How B differs from A in one metric, over the seeds that both have; a broken member counts as the worst.

    Attributes:
        intervention: whose effect it is; None for a metric of the members themselves.
        metric: its name.
        seeds: how many are common.
        a, b: medians over these.
        mean, median: of the differences b - a.
        mean_low, mean_high, median_low, median_high: their 95 % bootstrap intervals; NaN for one seed.
        b_better: share of seeds in which b is better than a; None where neither way is better.
        verdict: `better` or `worse`, of B (`higher` or `lower` where neither way is better), `equal` if no seed
            differs, or `unresolved` if the interval of the mean holds 0.
    """

    intervention: str | None
    metric: str
    seeds: int
    a: float
    b: float
    mean: float
    mean_low: float
    mean_high: float
    median: float
    median_low: float
    median_high: float
    b_better: float | None
    verdict: str


def diff(a: Members, b: Members, metrics: Sequence[str] | None = None) -> list[Paired]:
    """Compare two trials in every metric and intervention label that both have, or in some metrics.

    Of many metrics that do not differ at all, about one in twenty is called better or worse by chance.

    Raises:
        PrepeError: they have no seed in common, or a metric is unknown or not measured in both.
    """
    seeds = sorted(set(a.seeds) & set(b.seeds))
    if not seeds:
        raise PrepeError(
            f"{a.name} and {b.name}: no seed in common, {_range(a.seeds)} and {_range(b.seeds)}; "
            "allowed: trials with members of the same seeds"
        )
    a, b = a.of_seeds(seeds), b.of_seeds(seeds)
    places = [None, *(label for label in a.labels if label in b.labels)]
    both = {place: [name for name in a.metrics(place) if name in b.metrics(place)] for place in places}
    found = list(dict.fromkeys(name for names in both.values() for name in names))
    for name in metrics or ():
        if name not in found:
            known = name in (*EFFECT_METRICS, *MEMBER_METRICS, *a.terms, *b.terms)
            said = f"not measured in both; allowed: {', '.join(found)}" if known else unknown(name, found, "metric")
            raise PrepeError(f"--metric {name}: {said}")
    return [
        _paired(a, b, name, place)
        for place, names in both.items()
        for name in names
        if metrics is None or not metrics or name in metrics
    ]


def _paired(a: Members, b: Members, metric: str, place: str | None) -> Paired:
    first, second = a.counted(metric, place), b.counted(metric, place)
    goal = meaning(metric, place).goal
    with np.errstate(invalid="ignore"):
        gaps = np.where(first == second, 0.0, second - first)  # infinite ones may be equal
        mean, median = float(gaps.mean()), float(np.median(gaps))
        medians = float(np.median(first)), float(np.median(second))
    mean_ends = interval(gaps)
    better = None if goal == "gate" else float(np.mean(gaps > 0 if goal == "max" else gaps < 0))
    return Paired(
        place,
        metric,
        len(gaps),
        *medians,
        mean,
        *mean_ends,
        median,
        *interval(gaps, np.median),
        better,
        _verdict(goal, *mean_ends),
    )


def _verdict(goal: str, low: float, high: float) -> str:
    if low == high == 0:
        return "equal"
    if math.isnan(low) or low <= 0 <= high:
        return UNRESOLVED
    if goal == "gate":
        return "higher" if low > 0 else "lower"
    return "better" if (low > 0) == (goal == "max") else "worse"


def _range(seeds: list[int]) -> str:
    return f"seeds {min(seeds)} to {max(seeds)}" if seeds else "none"
