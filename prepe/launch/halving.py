"""Successive halving: rows of trials with few members in; the promising one that should have more out.

Asynchronous, in that no rung waits for all of its trials: the best of each `factor` that have reached a rung so far get
more members, until they have all of them. A trial's row says what it was worth at every rung that it has reached, so
that the store alone is needed to go on.

Source: successive halving without waiting, by promotion (Li et al. 2020, arXiv:1810.05934).
"""

import math
from collections.abc import Collection, Iterable
from itertools import pairwise
from typing import Any

from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS
from prepe.sweep import Sweep

Row = dict[str, Any]
_Key = tuple[bool, float, int]
_FAILED = (False, -math.inf)


class Ladder:
    """The rungs of a sweep, and what each of its trials was worth at every one that it has reached.

    Without halving there is one rung, of all members, and nobody to be promoted.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.rungs, self._measure = sweep.rungs, sweep.promise()
        self._factor = sweep.search.halving.factor if sweep.search and sweep.search.halving else 1
        self._rows: dict[str, Row] = {}
        self._reached: list[dict[str, _Key]] = [{} for _ in self.rungs]

    def put(self, row: Row) -> None:
        """Take the row of a trial that ended, in place of an earlier one of the same trial."""
        self._rows[row["trial"]] = row
        if self._measure is None:
            return
        worth = {each["members"]: each for each in row.get("rungs") or () if each["measure"] == self._measure.name}
        for members, reached in zip(self.rungs, self._reached, strict=True):
            reached.pop(row["trial"], None)
            if row["members"] >= members:
                reached[row["trial"]] = (*self._key(worth.get(members)), -row["number"])

    def lacks(self, row: Row) -> bool:
        """Say whether a complete row does not say what its trial was worth at every rung."""
        if self._measure is None:
            return False
        known = {each["members"] for each in row.get("rungs") or () if each["measure"] == self._measure.name}
        return not known.issuperset(members for members in self.rungs if members <= row["members"])

    def next(self, at_work: Collection[str], last: int | None) -> tuple[Row, int] | None:
        """Return a row whose trial should have more members now, and how many, or None if there is none.

        Args:
            at_work: trials that are not to be promoted, since they are being worked on.
            last: None while new trials may come; then the fewest members of any trial at work, or of none a large
                number. A rung that nobody can reach any more promotes its best, however few have reached it.
        """
        for rung in reversed(range(len(self.rungs) - 1)):
            size = len(self._reached[rung]) // self._factor
            if last is not None and last > self.rungs[rung]:
                size = max(size, 1)
            able = [item for item in self._reached[rung].items() if not self._is_stuck(item[0], rung)]
            ranked = sorted(able, key=lambda item: item[1], reverse=True)
            for trial, (_, value, _) in ranked[:size]:
                if value > -math.inf and trial not in at_work and self._is_at(trial, rung):
                    return self._rows[trial], self.rungs[rung + 1]
        return None

    def _is_at(self, trial: str, rung: int) -> bool:
        return self.rungs[rung] <= self._rows[trial]["members"] < self.rungs[rung + 1]

    def _is_stuck(self, trial: str, rung: int) -> bool:
        """Say whether a trial is at a rung since it has failed with more members."""
        return self._is_at(trial, rung) and self._rows[trial].get("error") is not None

    def _key(self, worth: Row | None) -> tuple[bool, float]:
        """Return what to compare trials by, of which more is better; without a number, a trial failed."""
        if worth is None or self._measure is None or math.isnan(worth["value"]):
            return _FAILED
        metrics = MEMBER_METRICS if self._measure.intervention is None else EFFECT_METRICS
        lower = metrics[self._measure.metric].goal == "min"
        return worth["feasible"], -worth["value"] if lower else worth["value"]


def expected(sweep: Sweep, trials: int) -> int:
    """Return how many members so many trials are trained for in all, if promotion waited for all of a rung.

    It does not, so that it becomes more: a trial is promoted that was among the best for a while, and the later ones
    are better, where a sampler learns. 40 trials (8, 24 and 64 members) had 1072 instead of the 688 that this says.
    """
    factor = sweep.search.halving.factor if sweep.search and sweep.search.halving else 1
    sizes = (0, *sweep.rungs)
    steps = enumerate(pairwise(sizes))
    return sum((more - fewer) * max(trials // factor**rung, 1) for rung, (fewer, more) in steps)


def saving(sweep: Sweep, rows: Iterable[Row]) -> str | None:
    """Say how many members trials have beside those that all of them would have, if a sweep is halved."""
    sizes = [min(row["members"], sweep.members) for row in rows]
    if len(sweep.rungs) == 1 or not sizes:
        return None
    full, whole = len(sizes) * sweep.members, sizes.count(sweep.members)
    return (
        f"halving: {sum(sizes)} members instead of {full} ({100 * sum(sizes) / full:.0f} %); "
        f"{whole} of {len(sizes)} trials have all {sweep.members}"
    )
