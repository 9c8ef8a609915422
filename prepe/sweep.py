"""A sweep file in; fixed values, a search space, objectives, constraints and a budget out.

A sweep file is TOML. Its tables data, model, terms, schedule, concepts and interventions make one trial (see `spec`).
With a [search] table, a value anywhere in them may be `"$name"` or `"0.5 * $name"`, where `name` is a parameter under
[search.space]; every parameter says where the search starts, and the first trial is the one made of those values.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from prepe import spec
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, Part, PositiveInt, unknown
from prepe.errors import PrepeError

_BODY = ("data", "model", "terms", "schedule", "concepts", "interventions")
_REFERENCE = re.compile(r"(?:(?P<factor>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\*\s*)?\$(?P<name>\w+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LARGEST_SEED = 2**31
Params = dict[str, int | float]


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} stands here; allowed: a number")
    return value


Number = Annotated[int | float, BeforeValidator(_number)]


class Distribution(Part):
    """Where a parameter may lie: exactly one of `int`, `float`, `log` (a range) or `choice` (a list), and its start."""

    int_: Annotated[tuple[int, int] | None, Field(alias="int", strict=False)] = None
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

    def holds(self, value: object) -> bool:
        """Say whether a value could have been drawn."""
        if not isinstance(value, int | float):
            return False
        low, high = self.range()
        if self.choice is not None:
            return value in self.choice
        return low <= value <= high and (self.int_ is None or (value - low) % self.step == 0)


class Measure(Part):
    """A metric over members: of an intervention's effect when one is named, else of the members themselves."""

    intervention: str | None = None
    metric: str
    statistic: Literal["median", "q25", "q75", "mean", "sd", "worst_decile", "rate", "min", "max"] = "median"
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
        if self.intervention is None and self.metric in ("anchor_cos", "anchor_fail") and not trial.concepts:
            return f"metric: {self.metric!r} needs a concept, and there is none; allowed: with a [concepts] table"
        if self.metric == "isolation_fail" and not any(each.isolated for each in trial.concepts.values()):
            return "metric: 'isolation_fail' needs an isolated concept; allowed: with isolated = true in its table"
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


class Search(Part):
    """How the space is searched: parameters, sampler and budget."""

    space: Annotated[dict[str, Distribution], Field(min_length=1)]
    trials: PositiveInt
    sampler: Literal["tpe", "nsga2", "random"] = "tpe"
    startup_trials: PositiveInt = 10
    seed: Annotated[int, Field(ge=0, le=_LARGEST_SEED)] = 0


class Record(Part):
    """What is kept of training beside its result; it changes no result and is in no digest."""

    history_stride: PositiveInt = 15
    snapshots: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = ()
    shown_members: Annotated[int, Field(ge=0)] = 1


class Resources(Part):
    """What one job asks for."""

    concurrency: PositiveInt | None = None
    cpus: PositiveInt = 1
    gpus: Annotated[float, Field(ge=0)] = 0.0


class Sweep(Part):
    """A checked sweep file.

    `body` is the plain table that `trial` fills in; `members` seeds follow on `first_seed`.
    """

    name: str
    question: str
    members: PositiveInt
    first_seed: Annotated[int, Field(ge=0, le=_LARGEST_SEED)] = 0
    record: Record = Record()
    resources: Resources = Resources()
    objectives: tuple[Objective, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    search: Search | None = None
    body: dict[str, Any]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the members that every trial should have."""
        return list(range(self.first_seed, self.first_seed + self.members))

    @property
    def trials(self) -> int:
        """How many distinct configurations the sweep asks for."""
        return self.search.trials if self.search else 1

    def start(self) -> Params:
        """Return the parameters that the search starts from."""
        return {name: each.start for name, each in self.search.space.items()} if self.search else {}

    def trial(self, params: Params) -> spec.Trial:
        """Return the trial at one point of the space.

        The twin has the trial's sizes and data, and the schedule of the starting point: so trials of one size share it,
        and `task_cost` compares all of them with the same training.
        """
        model = spec.trial(_filled(self.body, params))
        twin = _filled(self.body, params) | {"schedule": _filled(self.body["schedule"], self.start())}
        return model.model_copy(update={"twin": spec.trial(twin).training.unregularised()})


def load(path: str | Path, *, trials: int | None = None, members: int | None = None) -> Sweep:
    """Read and check a sweep file.

    Args:
        path: a TOML file; its stem is the sweep's name.
        trials: overrides the file's number of trials.
        members: overrides the file's number of members.

    Raises:
        PrepeError: naming the file, the path in it, the value, and what is allowed.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PrepeError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PrepeError(f"{path}: not valid TOML: {error}") from None
    if members is not None:
        table["members"] = members
    if trials is not None:
        if not isinstance(table.get("search"), dict):
            raise PrepeError(f"{path}: trials: the file has no [search] table, so it has exactly one trial")
        table["search"]["trials"] = trials
    try:
        return from_table(path.stem, table)
    except PrepeError as error:
        raise PrepeError(f"{path}: {error}") from None


def from_table(name: str, table: dict[str, Any]) -> Sweep:
    """Check a sweep given as a table of plain values.

    Raises:
        PrepeError: naming the path in the table, the value, and what is allowed.
    """
    if not _NAME.fullmatch(name):
        raise PrepeError(
            f"the file's stem {name!r} is the sweep's name, and part of others; "
            "allowed: letters, digits, '-', '_' and '.', the first a letter or a digit"
        )
    head = {key: value for key, value in table.items() if key not in _BODY}
    allowed = [key for key in Sweep.model_fields if key not in ("name", "body")] + list(_BODY)
    for key in head:
        if key not in allowed:
            raise PrepeError(unknown(key, allowed))
    for key in ("objectives", "constraints"):
        if not isinstance(head.get(key, []), list):
            raise PrepeError(f"{key}: a list of tables is needed here, each headed [[{key}]]")
        head[key] = tuple(head.get(key, []))
    try:
        sweep = Sweep.model_validate({**head, "name": name, "body": {key: table[key] for key in _BODY if key in table}})
    except ValidationError as error:
        raise PrepeError(spec.explain(error, head)) from None
    _check(sweep)
    return sweep


def _check(sweep: Sweep) -> None:
    """Check what only shows with values filled in: at the start, and at the ends of every parameter."""
    space = sweep.search.space if sweep.search else {}
    _check_references(sweep.body, space)
    start = sweep.trial(sweep.start())
    for key, measures in (("objectives", sweep.objectives), ("constraints", sweep.constraints)):
        for i, measure in enumerate(measures):
            fault = measure.fault(start, sweep.members)
            if fault:
                raise PrepeError(f"{key}[{i}].{fault}")
            if measure.name in [each.name for each in measures[:i]]:
                raise PrepeError(f"{key}[{i}]: {measure.name!r} stands twice; allowed: each once")
    if sweep.search and not sweep.objectives:
        raise PrepeError("objectives: a search needs at least one [[objectives]] table")
    for name, each in space.items():
        for value in each.probes():
            try:
                sweep.trial(sweep.start() | {name: value})
            except PrepeError as error:
                raise PrepeError(f"{error} (with {name} = {value}, which search.space.{name} allows)") from None


def _check_references(body: dict[str, Any], space: dict[str, Distribution]) -> None:
    """Check that every text with a `$` is a reference to a parameter, and that every parameter is used."""
    used = set()
    for path, text in _references(body):
        match = _REFERENCE.fullmatch(text)
        if not match:
            raise PrepeError(f"{path}: {text!r} is not understood; allowed: '$name', or a factor as in '0.5 * $name'")
        if match["name"] not in space:
            raise PrepeError(f"{path}: {unknown(match['name'], space, 'parameter')} (those in [search.space])")
        used.add(match["name"])
    for name in space:
        if name not in used:
            raise PrepeError(f"search.space.{name}: '${name}' stands nowhere in the file; allowed: used parameters")


def _references(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Give every text with a `$` in a table, after its path."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _references(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield from _references(each, f"{path}[{i}]")
    elif isinstance(value, str) and "$" in value:
        yield path, value


def _filled(value: Any, params: Params) -> Any:
    """Return a table with its references replaced by parameters."""
    if isinstance(value, dict):
        return {key: _filled(each, params) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, params) for each in value]
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        return value
    number = params[match["name"]]
    return number if match["factor"] is None else float(f"{float(match['factor']) * number:.12g}")
