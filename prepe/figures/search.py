"""The trials of a search in; their parameters on scales, objectives and feasibility, as arrays to be drawn, out."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from prepe.catalog import unknown
from prepe.errors import PrepeError
from prepe.figures import style
from prepe.figures.members import numbers
from prepe.members import undominated

Objectives = list[tuple[str, str]]
"""Names of columns, each with "maximize" or "minimize"."""


@dataclass(frozen=True)
class Trials:
    """What is drawn of a search, one entry a trial, in the order of proposal."""

    ids: list[str]
    number: np.ndarray
    feasible: np.ndarray
    failed: np.ndarray
    values: list[np.ndarray]  # one an objective; NaN where a trial failed
    params: list[dict[str, Any]]
    signs: list[float]  # one an objective: +1 where it is to grow

    @property
    def sign(self) -> float:
        """+1 where the first objective is to grow."""
        return self.signs[0]

    @property
    def names(self) -> list[str]:
        """The parameters."""
        return list(dict.fromkeys(name for params in self.params for name in params))

    @property
    def ranking(self) -> list[int]:
        """The feasible trials that have a value, by the first objective, best first."""
        able = np.flatnonzero(self.feasible & np.isfinite(self.values[0]))
        return sorted(able.tolist(), key=lambda i: (-self.sign * self.values[0][i], self.number[i]))

    @property
    def front(self) -> list[int]:
        """The feasible trials that no other one dominates in all objectives, by the first objective, best first."""
        able = [i for i in self.ranking if all(np.isfinite(values[i]) for values in self.values)]
        costs = np.array(
            [[-sign * values[i] for sign, values in zip(self.signs, self.values, strict=True)] for i in able]
        )
        return [i for i, kept in zip(able, undominated(costs), strict=True) if kept] if able else []

    def near(self, objective: int) -> np.ndarray:
        """Return an objective's values, moved to the edge where they would leave no room for the others.

        An infeasible trial may have any value (a broken member counts as the worst possible one), so the scale is that
        of the feasible trials and the first, with half as much again on either side.
        """
        values = self.values[objective]
        kept = values[(self.feasible | (np.arange(len(values)) == 0)) & np.isfinite(values)]
        if not self.ranking or np.ptp(kept) == 0:
            return values
        room = np.ptp(kept) / 2
        return np.asarray(np.clip(values, kept.min() - room, kept.max() + room))

    def column(self, name: str) -> list[Any]:
        """Return a parameter's values, NaN where a trial has none."""
        return [params.get(name, np.nan) for params in self.params]


@dataclass(frozen=True)
class Scale:
    """A parameter's or an objective's values on a scale from 0 to 1.

    Attributes:
        places: `(trials,)`; NaN where there is no value.
        ends: what stands at 0 and at 1, as text.
        log: whether it is logarithmic.
        low, high: the values there; of names, 0 and how many there are less one.
        names: in their order, if the values are names.
    """

    places: np.ndarray
    ends: tuple[str, str]
    log: bool = False
    low: float = 0.0
    high: float = 1.0
    names: tuple[str, ...] = ()


def read(trials: pa.Table, objectives: Objectives) -> Trials:
    """Return a search's trials.

    Args:
        trials: columns number, trial, state, feasible, params (JSON text or struct) and one for each objective.
        objectives: of the search.

    Raises:
        PrepeError: there is no trial to draw, or an objective has no column.
    """
    if not trials.num_rows or not objectives:
        raise PrepeError("figure of a search: there is nothing to draw; allowed: at least one trial and one objective")
    for name, _ in objectives:
        if name not in trials.column_names:
            raise PrepeError(f"figure of a search: {unknown(name, trials.column_names, 'column')}")
    trials = trials.sort_by("number")
    stored = [json.loads(each) if isinstance(each, str) else dict(each or {}) for each in trials["params"].to_pylist()]
    params = [{name: value for name, value in each.items() if value is not None} for each in stored]
    return Trials(
        ids=trials["trial"].to_pylist(),
        number=trials["number"].to_numpy(),
        feasible=np.array([each is True for each in trials["feasible"].to_pylist()]),
        failed=np.array([each == "failed" for each in trials["state"].to_pylist()]),
        values=[numbers(trials, name) for name, _ in objectives],
        params=params,
        signs=[-1.0 if goal == "minimize" else 1.0 for _, goal in objectives],
    )


def counts(data: Trials) -> str:
    """Say how many trials there are, how they ended, and which is best."""
    n, failed, feasible = len(data.ids), int(data.failed.sum()), int(data.feasible.sum())
    text = (
        f"{n} trial{'s' if n != 1 else ''}: {feasible} feasible, {n - feasible - failed} infeasible, {failed} failed."
    )
    return f"{text} " + (
        f"Best: {data.ids[data.ranking[0]]}." if data.ranking else "No trial is feasible, so none is best."
    )


def better(goal: str) -> str:
    """Say which way an objective is better."""
    return "lower is better" if goal == "minimize" else "higher is better"


def scale(values: list[Any]) -> Scale:
    """Lay values out from 0 to 1: logarithmically where real ones span more than a factor of 5, names side by side."""
    if any(isinstance(each, str) for each in values):
        names = tuple(dict.fromkeys(map(str, values)))
        last = max(1, len(names) - 1)
        return Scale(np.array([names.index(str(each)) / last for each in values]), (names[0], names[-1]), names=names)
    x = np.array(values, dtype=float)
    known = x[np.isfinite(x)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    log = is_log(known)
    one, other, at = (np.log(low), np.log(high), np.log(x)) if log else (low, high, x)
    places = (at - one) / (other - one) if other > one else np.where(np.isnan(x), np.nan, 0.5)
    return Scale(np.asarray(places), (style.digits(low), style.digits(high)), log, low, high)


def is_log(values: np.ndarray) -> bool:
    """Say whether values would be drawn on a logarithmic axis: they are no whole numbers, and span most of a decade."""
    if not values.size or np.all(values == np.round(values)):
        return False
    return bool(values.min() > 0 and values.max() > 5 * values.min())
