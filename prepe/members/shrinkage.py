"""A search's winners on its own and on fresh seeds in; what they lose there, and which of them differ, out.

The best of many trials is partly the luckiest, so its score in the search is too good on average (the winner's curse).

Source: Efron, "Tweedie's formula and selection bias" (JASA 2011), for the bias; the band is two standard errors of a
difference of means.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prepe.measures import Measure
from prepe.members.bootstrap import interval
from prepe.members.rows import Members, meaning
from prepe.metrics.summary import statistics

_DECILE = 10
_LEAST = 1e-6  # is added before a logarithm, as in objectives


@dataclass(frozen=True)
class Shrunk:
    """One measure of one winner, in the search and on fresh seeds.

    Attributes:
        trial: its name.
        measure: the measure's name.
        search, search_members: its value over the search's seeds, and how many these are.
        fresh, fresh_members: the same on fresh seeds.
        low, high: the 95 % bootstrap interval of `fresh`.
        shrinkage: search - fresh.
        band: how large it must be to be more than chance; see `band`.
        resolved: whether it is as large as that.
    """

    trial: str
    measure: str
    search: float
    search_members: int
    fresh: float
    low: float
    high: float
    fresh_members: int
    shrinkage: float
    band: float
    resolved: bool


@dataclass(frozen=True)
class Between:
    """How winner B differs from winner A in one measure, over the fresh seeds that both have.

    Attributes:
        a, b: their trials.
        measure: its name.
        members: how many seeds.
        difference: of the measure itself, b - a.
        low, high: its 95 % bootstrap interval, seeds drawn for both at once.
        band: see `band`.
        resolved: whether the interval is without 0 and the difference not below the band.
    """

    a: str
    b: str
    measure: str
    members: int
    difference: float
    low: float
    high: float
    band: float
    resolved: bool


def shrinkage(search: Members, fresh: Members, measures: Sequence[Measure]) -> list[Shrunk]:
    """Compare one trial's members of the search with those of fresh seeds, in each measure.

    Args:
        search: the members by which it was chosen.
        fresh: others of the same trial.
        measures: that both have.
    """
    return [_shrunk(search, fresh, each) for each in measures]


def differences(winners: Sequence[Members], measures: Sequence[Measure]) -> list[Between]:
    """Compare every two winners on the seeds that they have in common, in each measure.

    Args:
        winners: on fresh seeds.
        measures: that all have.
    """
    return [_between(a, b, each) for each in measures for a, b in itertools.combinations(winners, 2)]


def band(measure: Measure, first: np.ndarray, second: np.ndarray) -> float:
    """Return the resolution band of a measure, below which a difference of two of its values is called unresolved.

    2 sigma sqrt(1 / n1 + 1 / n2)

    sigma is the standard deviation over members, pooled; of a worst decile, n counts the members in it alone.

    Args:
        measure: says which statistic.
        first, second: values, one a member, `(n1,)` and `(n2,)`.

    Returns:
        infinity where there is none: for one member, or where a value is infinite.
    """
    first, second = _told(measure, first), _told(measure, second)
    if min(len(first), len(second)) < 2 or not np.isfinite([*first, *second]).all():
        return math.inf
    freedom = len(first) - 1, len(second) - 1
    variance = (freedom[0] * first.var(ddof=1) + freedom[1] * second.var(ddof=1)) / sum(freedom)
    tenth = _DECILE if measure.statistic == "worst_decile" else 1
    return 2 * math.sqrt(float(variance) * sum(1 / math.ceil(len(each) / tenth) for each in (first, second)))


def _shrunk(search: Members, fresh: Members, measure: Measure) -> Shrunk:
    before, after = _values(search, measure), _values(fresh, measure)
    first, second = float(_reduced(measure, before)), float(_reduced(measure, after))
    width = band(measure, before, after)
    low, high = interval(after, lambda values, axis: _reduced(measure, values))
    lost = 0.0 if first == second else first - second  # infinite ones may be equal
    return Shrunk(
        search.trial, measure.name, first, len(before), second, low, high, len(after), lost, width, abs(lost) > width
    )


def _between(a: Members, b: Members, measure: Measure) -> Between:
    seeds = sorted(set(a.seeds) & set(b.seeds))
    first, second = (_values(each.of_seeds(seeds), measure) for each in (a, b))

    def gap(places: np.ndarray, axis: int = -1) -> np.ndarray:
        drawn = places.astype(int)
        one, other = _reduced(measure, first[drawn]), _reduced(measure, second[drawn])
        with np.errstate(invalid="ignore"):
            return np.where(one == other, 0.0, other - one)

    places = np.arange(len(seeds))
    difference, width = float(gap(places)), band(measure, first, second)
    low, high = interval(places, gap)
    resolved = (low > 0 or high < 0) and abs(difference) > width
    return Between(a.trial, b.trial, measure.name, len(seeds), difference, low, high, width, resolved)


def _values(members: Members, measure: Measure) -> np.ndarray:
    """Return a measure's values, one a member, with broken members as the worst."""
    return members.counted(measure.metric, measure.intervention)


def _reduced(measure: Measure, values: np.ndarray) -> np.ndarray:
    found = statistics(measure.statistic, values, meaning(measure.metric, measure.intervention))
    return _told(measure, found)


def _told(measure: Measure, values: np.ndarray) -> np.ndarray:
    """Return values on the measure's scale."""
    return np.log10(np.maximum(values, 0.0) + _LEAST) if measure.log else values
