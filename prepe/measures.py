"""What is read off a trial's members: objectives to push, constraints to keep, claims to check.

A measure is a metric and a statistic over members; a claim may ask SQL for its values instead.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from prepe import spec
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, NonNegative, Part, Statistic, unknown

_OF_CYCLE, _OF_GRADE = ("ring_", "off_plane"), "grade_"
_NAME = re.compile(r"(?P<log>log10 )?(?:(?P<intervention>.+)\.)?(?P<metric>\w+)\.(?P<statistic>\w+)")
_BOUND = re.compile(r"(?P<name>.+) (?P<side><=|>=) (?P<value>\S+)")


class Measure(Part):
    """A metric over members: of an intervention's effect when one is named, else of the members themselves."""

    intervention: str | None = None
    metric: str
    statistic: Statistic = "median"
    log: bool = False

    @property
    def name(self) -> str:
        """The column's name: metric and statistic, after the intervention's label if there is one."""
        label = f"{self.intervention}." if self.intervention else ""
        return f"{'log10 ' if self.log else ''}{label}{self.metric}.{self.statistic}"

    def fault(self, trial: spec.Trial, members: int) -> str | None:
        """Return what is wrong with this measure of a trial with so many members, or None."""
        labels = [each.label for each in trial.interventions]
        if self.intervention is not None and self.intervention not in labels:
            return f"intervention: {unknown(self.intervention, labels, 'intervention')}"
        metrics = MEMBER_METRICS if self.intervention is None else EFFECT_METRICS
        if self.metric not in metrics:
            hint = "; an intervention must be named for it" if self.metric in EFFECT_METRICS else ""
            return f"metric: {unknown(self.metric, metrics, 'metric')}{hint}"
        if self.statistic == "sd" and members < 2:
            return "statistic: 'sd' of one member is not a number; allowed: any other, or more members"
        need = None if self.intervention else _lacked(self.metric, trial)
        return f"metric: {self.metric!r} needs {need}" if need else None


def _lacked(metric: str, trial: spec.Trial) -> str | None:
    """Return what a metric of members needs and a trial does not have, with how to get it, or None."""
    if metric in ("anchor_cos", "anchor_fail", "anchor_distance") and not trial.concepts:
        return "a concept, and there is none; allowed: with a [concepts] table"
    if metric == "isolation_fail" and not any(each.isolated for each in trial.concepts.values()):
        return "an isolated concept; allowed: with isolated = true in its table"
    if metric == "task_cost" and trial.twin is None:
        return "the unregularised twin; allowed: without twin = false"
    if metric.startswith(_OF_CYCLE) and trial.cycle is None:
        return "a cycle of items, and there is none; allowed: with a [cycle] table"
    if metric.startswith(_OF_GRADE) and (trial.cycle is None or trial.cycle.grade is None):
        return "a grade of the cycle; allowed: with grade in the table [cycle]"
    return None


class Objective(Measure):
    """A measure to push one way."""

    goal: Literal["maximize", "minimize"]


class Constraint(Measure):
    """A measure that must lie within a bound; a trial outside is kept, called infeasible, and never best."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> "Constraint":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("at_least and at_most: exactly one of them is needed")
        return self

    @property
    def name(self) -> str:
        """The measure's name and the bound, so that what is stored under it is about this bound and no other."""
        return f"{super().name} " + (f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}")

    def excess(self, value: float) -> float:
        """Return by how much a value breaks the bound: zero or less when it holds."""
        if self.at_most is not None:
            return value - self.at_most
        return (self.at_least or 0.0) - value


def objective_named(name: str, goal: str) -> Objective:
    """Return the objective that stored rows have under a name, with its goal."""
    return Objective.model_validate({**_parsed(name), "goal": goal})


def constraint_named(name: str) -> Constraint:
    """Return the constraint that stored rows have under a name; its bound has the six digits that the name has."""
    found = _BOUND.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} is no constraint's name")
    side = "at_most" if found["side"] == "<=" else "at_least"
    return Constraint.model_validate({**_parsed(found["name"]), side: float(found["value"])})


def _parsed(name: str) -> dict[str, Any]:
    """Return the fields of the measure that has a name."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} is no measure's name")
    return {**found.groupdict(), "log": found["log"] is not None}


class Claim(Part):
    """A sentence about a sweep's rows, and what must hold of them for it to be true.

    The values, one a seed, are a `metric` of members (of an intervention's effect, when one is named; of one `variant`,
    when the file has several), or the columns `seed` and `value` that `sql` selects. Their `statistic` must be
    `at_least` or `at_most` a number, or both, or `equals` it within `tolerance`. A claim that is known not to hold says
    in `fails` what was found. See `prepe.claims`.
    """

    says: Annotated[str, Field(min_length=1)]
    metric: str | None = None
    intervention: str | None = None
    variant: str | None = None
    sql: str | None = None
    statistic: Statistic = "median"
    at_least: float | None = None
    at_most: float | None = None
    equals: float | None = None
    tolerance: NonNegative | None = None
    fails: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Claim":
        if (self.metric is None) == (self.sql is None):
            raise ValueError("metric and sql: exactly one of them is needed")
        if self.sql is not None and (self.intervention is not None or self.variant is not None):
            raise ValueError("intervention and variant go with metric; sql can name them itself")
        if (self.equals is None) == (self.at_least is None and self.at_most is None):
            raise ValueError("at_least, at_most or both, or equals with tolerance, are needed")
        if (self.equals is None) != (self.tolerance is None):
            raise ValueError("equals and tolerance go together")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least:g} is above at_most {self.at_most:g}; allowed: at most that")
        return self

    def fault(self, trial: spec.Trial, members: int) -> str | None:
        """Return what is wrong with this claim's metric for a trial with so many members, or None."""
        if self.metric is None:
            return None
        return Measure(metric=self.metric, intervention=self.intervention, statistic=self.statistic).fault(
            trial, members
        )

    def bounds(self) -> tuple[float | None, float | None]:
        """Return the least and the most that the statistic may be."""
        if self.equals is not None and self.tolerance is not None:
            return self.equals - self.tolerance, self.equals + self.tolerance
        return self.at_least, self.at_most

    def holds(self, value: float) -> bool:
        """Say whether the claim is true of a statistic; a number that is not one is never right."""
        low, high = self.bounds()
        return (low is None or value >= low) and (high is None or value <= high)

    def turns(self, low: float, high: float) -> bool:
        """Say whether a bound lies between two values of the statistic, so that it parts what holds from what fails."""
        least, most = self.bounds()
        return (least is not None and low < least <= high) or (most is not None and low <= most < high)

    def bound(self) -> str:
        """Say what is asked of the statistic, as in ``>= 0.9``."""
        if self.equals is not None:
            return f"= {self.equals:g} +- {self.tolerance:g}"
        if self.at_least is not None and self.at_most is not None:
            return f"in [{self.at_least:g}, {self.at_most:g}]"
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"
