"""Who is in a trial's figure: effects and members in, values for every member and the few members to show out."""

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prepe.catalog import EFFECT_METRICS, unknown
from prepe.errors import PrepeError
from prepe.metrics.summary import with_worst


@dataclass(frozen=True)
class Shown:
    """A member picked to be looked at, with its place among all measured members by `score_ccc` (1 is best)."""

    seed: int
    score: float
    rank: int
    of: int

    @property
    def role(self) -> str:
        """Say what it stands for: best, worst, median, only, or shown when it is none of these."""
        if self.of == 1:
            return "only"
        places = {1: "best", self.of: "worst", (self.of + 1) // 2: "median"}
        return places.get(self.rank, "shown")


@dataclass(frozen=True)
class Roll:
    """All members of a trial under one intervention; `values` is NaN for those that could not be measured."""

    effects: pa.Table  # one row a member, this intervention alone
    seeds: list[int]
    values: dict[str, np.ndarray]
    broken: dict[int, str]  # seed -> where and why it broke
    unmeasured: list[int]  # not broken, and yet without a score

    def measured(self, metric: str) -> np.ndarray:
        """Return the finite values of a metric."""
        values = self.values[metric]
        return np.asarray(values[np.isfinite(values)])

    def counted(self, metric: str) -> np.ndarray:
        """Return one value a member, where whoever could not be measured counts as the worst possible value."""
        return with_worst(self.values[metric], EFFECT_METRICS[metric])

    def first(self, column: str) -> object:
        """Return a column that is the same for all members."""
        return self.effects[column][0].as_py()

    def says(self) -> str:
        """Say how many members there are, and which are missing from the picture and why."""
        n = len(self.seeds)
        text = f"{n} member{'s' if n != 1 else ''}, {n - len(self.broken) - len(self.unmeasured)} measured"
        for what, missing in (("broken", self.broken), ("without a score", dict.fromkeys(self.unmeasured, ""))):
            if missing:
                some = [f"seed {seed}{why}" for seed, why in list(missing.items())[:3]]
                more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
                text += f", {len(missing)} {what} ({'; '.join(some)}{more})"
        return text + "."


def call(effects: pa.Table, members: pa.Table, intervention: str | None, metrics: tuple[str, ...]) -> Roll:
    """Gather one intervention's members.

    Raises:
        PrepeError: there is nothing to draw, there are several trials, or none has such an intervention.
    """
    names = list(dict.fromkeys(effects["intervention"].to_pylist()))
    trials = sorted(set(effects["trial"].to_pylist()))
    if not names:
        raise PrepeError("figure of a trial: it has no effects; allowed: a trial with at least one intervention")
    if len(trials) > 1:
        raise PrepeError(f"figure of a trial: rows of {len(trials)} trials ({', '.join(trials[:3])}); allowed: one")
    intervention = names[0] if intervention is None else intervention
    if intervention not in names:
        raise PrepeError(f"figure of a trial: {unknown(intervention, names, 'intervention')}")
    rows = effects.filter(pc.equal(effects["intervention"], intervention)).sort_by("seed")

    broken = {}
    for row in members.select(["seed", "broken", "broken_step", "broken_term"]).sort_by("seed").to_pylist():
        if row["broken"]:
            step, term = row["broken_step"], row["broken_term"]
            broken[row["seed"]] = (f" at step {step}" if step is not None else "") + (f": {term}" if term else "")
    seeds = sorted({*rows["seed"].to_pylist(), *members["seed"].to_pylist()})
    place = np.searchsorted(seeds, rows["seed"].to_numpy())
    values = {}
    for metric in metrics:
        values[metric] = np.full(len(seeds), np.nan)
        values[metric][place] = numbers(rows, metric)
        values[metric][np.isin(seeds, list(broken))] = np.nan
    finite = np.isfinite(values[metrics[0]])
    unmeasured = [seed for seed, ok in zip(seeds, finite, strict=True) if not ok and seed not in broken]
    return Roll(rows, seeds, values, broken, unmeasured)


def pick(roll: Roll, items: pa.Table) -> list[Shown]:
    """Pick the best, the median and the worst of the members whose items are stored, by `score_ccc`.

    Members with every item of the reference grid come before members with named items alone; where one of the three has
    no items, the nearest by rank stands for it.
    """
    scores = dict(zip(roll.seeds, roll.values["score_ccc"].tolist(), strict=True))
    ranking = sorted((seed for seed in scores if math.isfinite(scores[seed])), key=lambda seed: (-scores[seed], seed))
    stored = set(of(items, set="reference")["seed"].to_pylist()) or set(items["seed"].to_pylist())
    seen = [seed for seed in ranking if seed in stored]
    rank = {seed: i + 1 for i, seed in enumerate(ranking)}
    wanted = [1, (len(ranking) + 1) // 2, len(ranking)] if seen else []
    picked = dict.fromkeys(min(seen, key=lambda seed: abs(rank[seed] - each)) for each in wanted)
    return [Shown(seed, scores[seed], rank[seed], len(ranking)) for seed in picked]


def of(table: pa.Table, **values: object) -> pa.Table:
    """Return the rows whose columns have these values."""
    for column, value in values.items():
        table = table.filter(pc.equal(table[column], pa.scalar(value, table.schema.field(column).type)))
    return table


def numbers(table: pa.Table, column: str) -> np.ndarray:
    """Return a column as floats, with NaN where nothing is stored."""
    return np.asarray(table[column].cast(pa.float64()).to_numpy(), dtype=float)


def colors(table: pa.Table, column: str) -> np.ndarray | None:
    """Return a column of RGB lists as `(rows, 3)` in [0, 1], or None when its items are not colours."""
    rows = table[column].to_pylist()
    if not rows or any(row is None or len(row) != 3 for row in rows):
        return None
    values = np.asarray(rows, dtype=float)
    return np.clip(values, 0, 1) if np.isfinite(values).all() else None
