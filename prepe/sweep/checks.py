"""A sweep whose parts are each valid in; an error where they do not fit each other."""

import math
from collections.abc import Iterator
from typing import Any

from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, unknown
from prepe.errors import PrepeError
from prepe.keyframes import Schedule, most_updates
from prepe.measures import Claim
from prepe.spec import Trial
from prepe.sweep.parts import REFERENCE, Distribution, Params, Record, Sweep

_LARGEST_GRID = 10_000


def check(sweep: Sweep) -> None:
    """Check what only shows with values filled in: at the start, and at the ends of every parameter."""
    _check_references(sweep.body, sweep.variants, sweep.space)
    _check_points(sweep)
    start = sweep.trial(sweep.start())
    trials = {"": start}
    for name in sweep.variants:
        try:
            trials[name] = sweep.trial(sweep.start() | {"variant": name})
        except PrepeError as error:
            raise PrepeError(f"{error} (with variants.{name})") from None
    _check_record(sweep.record, [each.training.schedule for each in trials.values()])
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
    _check_halving(sweep, start)
    if sweep.budget.max_cost is not None and sweep.resources.cost_per_hour is None:
        raise PrepeError("budget.max_cost: it needs what a job costs; allowed: with resources.cost_per_hour")
    for name, each in sweep.space.items():
        for value in each.probes():
            try:
                sweep.trial(sweep.start() | {name: value})
            except PrepeError as error:
                raise PrepeError(f"{error} (with {name} = {value}, which search.space.{name} allows)") from None
    _check_trials(sweep)


def _check_halving(sweep: Sweep, start: Trial) -> None:
    """Check that what trials are chosen by is a measure of them with the fewest members that one has."""
    if sweep.search is None or sweep.search.halving is None:
        return
    halving = sweep.search.halving
    if halving.metric is None and not sweep.objectives:
        raise PrepeError(
            "search.halving.metric: missing, and there is no objective; allowed: a metric, or an objective"
        )
    promise = sweep.promise()
    if promise is None:
        return
    if fault := promise.fault(start, sweep.rungs[0]):
        raise PrepeError(f"search.halving.{fault}")
    metrics = MEMBER_METRICS if promise.intervention is None else EFFECT_METRICS
    if metrics[promise.metric].goal == "gate":
        better = [name for name, each in metrics.items() if each.goal != "gate"]
        raise PrepeError(
            f"search.halving.metric: {promise.metric!r} has no better and worse; allowed: {', '.join(better)}"
        )


def _check_record(record: Record, schedules: list[Schedule]) -> None:
    """Check that what is kept on the way comes before the end of one of the schedules, or at it.

    Checkpoints count steps of a schedule; snapshots count updates, of which members that wait do more.
    """
    steps = max(schedule.steps for schedule in schedules)
    updates = max(most_updates(schedule) for schedule in schedules)
    for key, at, last in (("checkpoints", record.checkpoints, steps), ("snapshots", record.snapshots, updates)):
        for i, each in enumerate(at):
            if each > last:
                raise PrepeError(f"record.{key}[{i}]: {each} lies past the end; allowed: 0 to {last}")


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
        match = REFERENCE.fullmatch(text)
        if not match:
            raise PrepeError(f"{path}: {text!r} is not understood; allowed: '$name', or a factor as in '0.5 * $name'")
        if match["name"] not in space:
            raise PrepeError(f"{path}: {unknown(match['name'], space, 'parameter')} (those in [search.space])")
        used.add(match["name"])
    for name in space:
        if name not in used:
            raise PrepeError(f"search.space.{name}: '${name}' stands nowhere in the file; allowed: used parameters")


def _words(point: Params) -> str:
    return ", ".join(f"{name} = {value}" for name, value in point.items())


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
