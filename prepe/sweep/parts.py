"""The parts of a sweep file: what is fixed, what is searched and how, what is kept; a trial at each point."""

import hashlib
import json
import re
from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from prepe import spec
from prepe.catalog import Count, Part, PositiveInt, Statistic, unknown
from prepe.measures import Claim, Constraint, Measure, Objective

REFERENCE = re.compile(r"(?:(?P<factor>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\*\s*)?\$(?P<name>\w+)")
_LARGEST_SEED = 2**31
Params = dict[str, int | float | str]
"""A value for every parameter of the space; `variant` names one of the file's variants, if it has any."""


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} stands here; allowed: a number")
    return value


Number = Annotated[int | float, BeforeValidator(_number)]

_Whole = Annotated[int, Field(ge=-(2**31), le=2**31)]


class Distribution(Part):
    """Where a parameter may lie: exactly one of `int`, `float`, `log` (a range) or `choice` (a list), and its start."""

    int_: Annotated[tuple[_Whole, _Whole] | None, Field(alias="int", strict=False)] = None
    float_: Annotated[tuple[float, float] | None, Field(alias="float", strict=False)] = None
    log: Annotated[tuple[float, float] | None, Field(strict=False)] = None
    choice: Annotated[tuple[Number, ...] | None, Field(strict=False, min_length=1)] = None
    step: PositiveInt = 1
    start: Number

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        allowed = ["int", "float", "log", "choice", "step", "start"]
        if isinstance(value, dict):
            for key in value:
                if key not in allowed:
                    raise ValueError(unknown(key, allowed))
            forms = [key for key in allowed[:4] if key in value]
            if len(forms) != 1:
                raise ValueError(f"{len(forms)} of int, float, log and choice are given; allowed: exactly one")
            if "step" in value and "int" not in value:
                raise ValueError("step goes with int alone")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> "Distribution":
        if self.choice is not None:
            if self.start not in self.choice:
                raise ValueError(f"start {self.start} is not one of the choices; allowed: {list(self.choice)}")
            if len(set(self.choice)) != len(self.choice):
                raise ValueError(f"a choice stands twice in {list(self.choice)}; allowed: each once")
            return self
        low, high = self.range()
        if not low < high:
            raise ValueError(f"low {low} is not below high {high}; allowed: low < high")
        if self.log and low <= 0:
            raise ValueError(f"a log range begins at {low}; allowed: above 0")
        if not low <= self.start <= high:
            raise ValueError(f"start {self.start} is outside the range; allowed: {low} to {high}")
        if self.int_ and (
            not isinstance(self.start, int) or (self.start - low) % self.step or (high - low) % self.step
        ):
            raise ValueError(
                f"start {self.start} or high {high} is off the steps; allowed: {low} plus a multiple of {self.step}"
            )
        return self

    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        if self.choice is not None:
            return min(self.choice), max(self.choice)
        return next(ends for ends in (self.int_, self.float_, self.log) if ends is not None)

    def probes(self) -> list[int | float]:
        """Return the values that a check tries: every choice, both ends of a range, and an integer next to its low."""
        if self.choice is not None:
            return list(self.choice)
        low, high = self.range()
        return [low, high] if self.int_ is None else [low, low + self.step, high]

    def values(self) -> Sequence[int | float]:
        """Return all values of a finite parameter; a range of real numbers has none that could be listed."""
        if self.choice is not None:
            return self.choice
        low, high = self.int_ or (0, -1)
        return range(low, high + 1, self.step)

    def holds(self, value: object) -> bool:
        """Say whether a value could have been drawn."""
        if not isinstance(value, int | float):
            return False
        low, high = self.range()
        if self.choice is not None:
            return value in self.choice
        return low <= value <= high and (self.int_ is None or (value - low) % self.step == 0)


class Halving(Part):
    """Members as the resource: every trial begins with `start` members, and promising ones get more.

    At every rung, the best of each `factor` trials get `factor` times the members, until they have all of them. Best is
    feasible first, then by a measure: `statistic` of `metric`, of an effect if an `intervention` is named. Without a
    metric that is `score_ccc` of the first objective's intervention, or the first objective's metric if it has none.
    """

    start: Count
    factor: Annotated[int, Field(ge=2, le=1000)] = 3
    metric: str | None = None
    intervention: str | None = None
    statistic: Statistic = "worst_decile"


class Search(Part):
    """How the space is searched: parameters, sampler and budget; `grid` tries every point of choices and integers.

    `generation` is how many proposals are made at once where a run has to be deterministic.
    """

    space: Annotated[dict[str, Distribution], Field(min_length=1)]
    trials: Count | None = None
    sampler: Literal["tpe", "nsga2", "random", "grid"] = "tpe"
    startup_trials: Count = 10
    seed: Annotated[int, Field(ge=0, le=_LARGEST_SEED)] = 0
    generation: Count = 8
    halving: Halving | None = None


class Record(Part):
    """What is kept of training beside its result; it changes no result and is in no digest.

    At `checkpoints`, counted in updates done, and at the end of every phase, all members' weights are kept and
    measured; at `snapshots`, latents and outputs of the shown members.
    """

    history_stride: PositiveInt = 15
    checkpoints: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = ()
    snapshots: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = ()
    shown_members: Annotated[int, Field(ge=0, le=100_000)] = 1


class Resources(Part):
    """What one job asks for, how many trials of one shape it trains in one batch, and what it costs while it works.

    Jobs that ask for part of a GPU get it where there are any, and else run on CPUs. With `mixed`, CPUs that are left
    take jobs too, of one trial each.
    """

    pack: Count = 1
    concurrency: PositiveInt | None = None
    cpus: PositiveInt = 1
    gpus: Annotated[float, Field(ge=0)] = 0.0
    mixed: bool = False
    cost_per_hour: Annotated[float, Field(ge=0)] | None = None


class Budget(Part):
    """How much a sweep may take, beyond which no more trials are begun; those at work end.

    `max_hours` is the wall time of one run; `max_cost` is the cost of all stored trials, by the time that workers spent
    on them and `resources.cost_per_hour`. A trial that works for longer than `timeout_s` has failed.
    """

    max_hours: Annotated[float, Field(gt=0)] | None = None
    max_cost: Annotated[float, Field(gt=0)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] | None = None


class Sweep(Part):
    """A checked sweep file.

    `body` is the plain table that `trial` fills in, after laying a variant over it; `members` seeds follow on
    `first_seed`. Without `twin`, no unregularised twin is trained, and there is no `task_cost`.
    """

    name: str
    question: str
    members: Count
    first_seed: Annotated[int, Field(ge=0, le=_LARGEST_SEED)] = 0
    twin: bool = True
    record: Record = Record()
    resources: Resources = Resources()
    budget: Budget = Budget()
    objectives: tuple[Objective, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    claims: tuple[Claim, ...] = ()
    variants: dict[str, dict[str, Any]] = {}
    search: Search | None = None
    body: dict[str, Any]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the members that every trial should have."""
        return list(range(self.first_seed, self.first_seed + self.members))

    @property
    def rungs(self) -> tuple[int, ...]:
        """How many members a trial has at first, and each time that it gets more, up to all of them."""
        halving = self.search.halving if self.search else None
        if halving is None:
            return (self.members,)
        sizes = [halving.start]
        while sizes[-1] < self.members:
            sizes.append(sizes[-1] * halving.factor)
        return (*sizes[:-1], self.members)

    def promise(self) -> Measure | None:
        """Return the measure by which trials are chosen that get more members, if that is asked for."""
        halving = self.search.halving if self.search else None
        if halving is None:
            return None
        given = {"metric": halving.metric, "intervention": halving.intervention, "statistic": halving.statistic}
        first = self.objectives[0] if self.objectives else None
        if halving.metric is None and first is not None:
            label = halving.intervention or first.intervention
            given |= {"intervention": label, "metric": "score_ccc" if label else first.metric}
        return Measure.model_validate(given)

    @property
    def trials(self) -> int:
        """How many distinct configurations the sweep asks for."""
        if self.search and self.search.trials is not None:
            return self.search.trials
        return len(self.points() or ())

    @property
    def space(self) -> dict[str, Distribution]:
        """The parameters that are searched."""
        return self.search.space if self.search else {}

    def points(self) -> list[Params] | None:
        """Return every point to try, in order, where these are fixed: each variant, or a grid; None for a sampler."""
        if self.search and self.search.sampler != "grid":
            return None
        axes = {"variant": list(self.variants)} if self.variants else {}
        values = {name: each.values() for name, each in self.space.items()}
        points = [
            dict(zip((*axes, *values), point, strict=True)) for point in product(*axes.values(), *values.values())
        ]
        return sorted(points, key=lambda point: point != self.start())  # the start first, the others as they are

    def start(self) -> Params:
        """Return the parameters that the search starts from."""
        first: Params = {"variant": next(iter(self.variants))} if self.variants else {}
        return first | {name: each.start for name, each in self.space.items()}

    def imports(self) -> list[str]:
        """Return the users' own functions that any of its trials calls, as `package.module:function`."""
        points = [self.start() | {"variant": name} for name in self.variants] or [self.start()]
        return sorted({name for point in points for name in self.trial(point).training.imports()})

    def trial(self, params: Params) -> spec.Trial:
        """Return the trial at one point of the space.

        The twin has the trial's sizes and data, and the schedule of the starting point: so trials of one size share it,
        and `task_cost` compares all of them with the same training.
        """
        variant = {"variant": params["variant"]} if self.variants else {}
        body = _laid_over(self.body, self.variants[str(params["variant"])]) if self.variants else self.body
        model = spec.trial(_filled(body, params), twin=None)
        if not self.twin:
            return model
        twin = _filled(body, params) | {"schedule": _filled(body["schedule"], self.start() | variant)}
        return model.model_copy(update={"twin": spec.trial(twin, twin=None).training.unregularised()})


def digest(sweep: Sweep) -> str:
    """Return the name of a version of a sweep file: 16 hexadecimal digits of what it asks for, but not of how much."""
    asked = sweep.model_dump(
        mode="json", include={"body", "variants", "twin", "objectives", "constraints"}, exclude_defaults=True
    )
    space = sweep.search.space if sweep.search else {}
    asked["space"] = {name: each.model_dump(mode="json", exclude_defaults=True) for name, each in space.items()}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _laid_over(table: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a table with changes: tables are joined, anything else is replaced, and what is false is taken out."""
    merged = dict(table)
    for key, change in changes.items():
        if change is False:
            merged.pop(key, None)
        elif isinstance(change, dict) and isinstance(merged.get(key), dict):
            merged[key] = _laid_over(merged[key], change)
        else:
            merged[key] = change
    return merged


def _filled(value: Any, params: Params) -> Any:
    """Return a table with its references replaced by parameters."""
    if isinstance(value, dict):
        return {key: _filled(each, params) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, params) for each in value]
    match = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        return value
    number = params[match["name"]]
    assert not isinstance(number, str)  # only a variant is a text, and no reference names it
    return number if match["factor"] is None else float(f"{float(match['factor']) * number:.12g}")
