"""A sweep file in; fixed values, a search space, objectives, constraints and a budget out.

A sweep file is TOML. Its tables data, model, terms, schedule, concepts and interventions make one trial (see `spec`).
With a [search] table, a value anywhere in them may be `"$name"` or `"0.5 * $name"`, where `name` is a parameter under
[search.space]; every parameter says where the search starts, and the first trial is the one made of those values.
"""

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from prepe import spec
from prepe.catalog import Part, PositiveInt, unknown
from prepe.errors import PrepeError
from prepe.keyframes import expand_dopesheets
from prepe.measure import Claim, Constraint, Objective

_BODY = ("data", "model", "terms", "schedule", "concepts", "interventions", "cycle")
_LISTS = ("objectives", "constraints", "claims")
_REFERENCE = re.compile(r"(?:(?P<factor>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\*\s*)?\$(?P<name>\w+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LARGEST_SEED = 2**31
_LARGEST_GRID = 10_000
Params = dict[str, int | float | str]
"""A value for every parameter of the space; `variant` names one of the file's variants, if it has any."""


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


class Search(Part):
    """How the space is searched: parameters, sampler and budget; `grid` tries every point of choices and integers."""

    space: Annotated[dict[str, Distribution], Field(min_length=1)]
    trials: PositiveInt | None = None
    sampler: Literal["tpe", "nsga2", "random", "grid"] = "tpe"
    startup_trials: PositiveInt = 10
    seed: Annotated[int, Field(ge=0, le=_LARGEST_SEED)] = 0


class Record(Part):
    """What is kept of training beside its result; it changes no result and is in no digest.

    At `checkpoints`, counted in updates done, and at the end of every phase, all members' weights are kept and
    measured; at `snapshots`, latents and outputs of the shown members.
    """

    history_stride: PositiveInt = 15
    checkpoints: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = ()
    snapshots: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = ()
    shown_members: Annotated[int, Field(ge=0)] = 1


class Resources(Part):
    """What one job asks for, and how many trials of one shape it trains in one batch."""

    pack: PositiveInt = 1
    concurrency: PositiveInt | None = None
    cpus: PositiveInt = 1
    gpus: Annotated[float, Field(ge=0)] = 0.0


class Sweep(Part):
    """A checked sweep file.

    `body` is the plain table that `trial` fills in, after laying a variant over it; `members` seeds follow on
    `first_seed`. Without `twin`, no unregularised twin is trained, and there is no `task_cost`.
    """

    name: str
    question: str
    members: PositiveInt
    first_seed: Annotated[int, Field(ge=0, le=_LARGEST_SEED)] = 0
    twin: bool = True
    record: Record = Record()
    resources: Resources = Resources()
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
        return from_table(path.stem, expand_dopesheets(table, path.parent))
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
    for key in _LISTS:
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
    _check_references(sweep.body, sweep.variants, sweep.space)
    _check_points(sweep)
    start = sweep.trial(sweep.start())
    for name in sweep.variants:
        try:
            sweep.trial(sweep.start() | {"variant": name})
        except PrepeError as error:
            raise PrepeError(f"{error} (with variants.{name})") from None
    for i, claim in enumerate(sweep.claims):
        _check_claim(sweep, claim, f"claims[{i}]")
    for key, measures in (("objectives", sweep.objectives), ("constraints", sweep.constraints)):
        for i, measure in enumerate(measures):
            fault = measure.fault(start, sweep.members)
            if fault:
                raise PrepeError(f"{key}[{i}].{fault}")
            if measure.name in [each.name for each in measures[:i]]:
                raise PrepeError(f"{key}[{i}]: {measure.name!r} stands twice; allowed: each once")
    if sweep.points() is None and not sweep.objectives:
        raise PrepeError("objectives: a search needs at least one [[objectives]] table")
    for name, each in sweep.space.items():
        for value in each.probes():
            try:
                sweep.trial(sweep.start() | {name: value})
            except PrepeError as error:
                raise PrepeError(f"{error} (with {name} = {value}, which search.space.{name} allows)") from None
    _check_trials(sweep)


def _check_claim(sweep: Sweep, claim: Claim, path: str) -> None:
    """Check that a claim's metric is one of the trial that it is about, and that there is one such trial."""
    if claim.variant is not None and claim.variant not in sweep.variants:
        raise PrepeError(f"{path}.variant: {unknown(claim.variant, sweep.variants, 'variant')}")
    start = sweep.start() if claim.variant is None else sweep.start() | {"variant": claim.variant}
    fault = claim.fault(sweep.trial(start), sweep.members)
    if fault:
        raise PrepeError(f"{path}.{fault}")
    trials = sweep.trials // (1 if claim.variant is None else len(sweep.variants))
    if claim.metric is not None and trials > 1:
        raise PrepeError(
            f"{path}.metric: {trials} trials have it; allowed: the variant of one trial, or sql that selects one value "
            "a seed"
        )


def _check_trials(sweep: Sweep) -> None:
    """Check that the points of a sweep where these are fixed are all valid, and trials that differ."""
    points: dict[str, Params] = {}
    for point in sweep.points() or ():
        try:
            name = sweep.trial(point).digest()
        except PrepeError as error:
            raise PrepeError(f"{error} (with {_words(point)})") from None
        if name in points:
            raise PrepeError(
                f"{'search.space' if sweep.space else 'variants'}: {_words(points[name])} and {_words(point)} are one "
                "and the same trial; allowed: points that differ in what is trained or measured"
            )
        points[name] = point


def _words(point: Params) -> str:
    return ", ".join(f"{name} = {value}" for name, value in point.items())


def _check_points(sweep: Sweep) -> None:
    """Check that a search has a budget and a sampler that fit its space."""
    if sweep.search is None:
        return
    if sweep.search.sampler != "grid":
        if sweep.variants:
            raise PrepeError(f'variants: a search by {sweep.search.sampler!r} has none; allowed: sampler = "grid"')
        if sweep.search.trials is None:
            raise PrepeError("search.trials: missing, and it has no default")
        return
    if endless := [name for name, each in sweep.space.items() if each.choice is None and each.int_ is None]:
        raise PrepeError(f"search.space.{endless[0]}: a grid needs a finite parameter; allowed: int or choice")
    size = math.prod(len(each.values()) for each in sweep.space.values()) * max(len(sweep.variants), 1)
    if size > _LARGEST_GRID:
        raise PrepeError(f"search.space: a grid of {size} points; allowed: at most {_LARGEST_GRID}")


def _check_references(
    body: dict[str, Any], variants: dict[str, dict[str, Any]], space: dict[str, Distribution]
) -> None:
    """Check that every text with a `$` is a reference to a parameter, and that every parameter is used."""
    used = set()
    for path, text in (*_references(body), *_references(variants, "variants")):
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
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        return value
    number = params[match["name"]]
    assert not isinstance(number, str)  # only a variant is a text, and no reference names it
    return number if match["factor"] is None else float(f"{float(match['factor']) * number:.12g}")
