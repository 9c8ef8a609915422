"""A sweep in; what trials at points of its space take, measured here in seconds of a CPU, out. Nothing is stored."""

import math
import random
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from prepe import data, evaluate, models, train
from prepe.errors import PrepeError
from prepe.keyframes import Schedule, most_updates
from prepe.spec import Training, Trial
from prepe.sweep import Params, Sweep

PROBE_S = 10.0
"""By the clock; what is measured are seconds of a CPU, for others may be at work on this machine too."""
SAMPLED = 200
_FEW_MEMBERS, _FEW_UPDATES, _UPDATES = 2, 10, 150
_SHARE_OF_A_POINT = 0.1
_ATTACKED_FOR = 5, 15
_DRAWS_FIRST = 3
_LEAST_S = 1.0


@dataclass(frozen=True)
class Point:
    """What a trial at one point of the space takes: its model, its twin if it is not shared, and measuring.

    `drawn` says that a sweep may well try it; the largest sizes are no draw.
    """

    params: Params
    drawn: bool
    model_s: float
    twin_s: float
    evaluate_s: float


def points(sweep: Sweep, count: int, seed: int) -> list[Params]:
    """Return points as a sweep may try them, the start first: its own where these are fixed, or draws of its space."""
    fixed = sweep.points()
    generator = random.Random(seed)
    if fixed is not None:
        return [fixed[0], *generator.sample(fixed[1:], min(count, len(fixed)) - 1)] if count else []
    found = [sweep.start()]
    for _ in range(20 * count):
        if len(found) >= count:
            break
        drawn: Params = {}
        for name, each in sweep.space.items():
            if values := each.values():
                drawn[name] = generator.choice(list(values))
            else:
                low, high = each.range()
                drawn[name] = (
                    math.exp(generator.uniform(math.log(low), math.log(high)))
                    if each.log
                    else generator.uniform(low, high)
                )
        try:
            sweep.trial(drawn)
        except PrepeError:  # parameters that do not go together
            continue
        found.append(drawn)
    return found


def probe(sweep: Sweep, budget_s: float = PROBE_S, seed: int = 0) -> list[Point]:
    """Measure what trials take: at the start, at draws of the space, and at its largest sizes, while there is time.

    A point is begun if it fits into the time that is left, by the one before; so it is at least one. No training goes
    on past the end, or a second if that is longer, but for its first two updates; nor is any evaluation cut short.
    """
    deadline = time.monotonic() + budget_s
    latest = deadline + max(_LEAST_S - budget_s, 0.0)
    found: list[Point] = []
    for params, drawn in wanted(sweep, seed):
        began = time.monotonic()
        found.append(_measured(sweep, params, drawn, budget_s * _SHARE_OF_A_POINT, latest))
        if time.monotonic() + (time.monotonic() - began) > deadline:
            break
    return found


def wanted(sweep: Sweep, seed: int = 0) -> list[tuple[Params, bool]]:
    """Return the points that a probe measures, the first ones first, each with whether a sweep may well try it."""
    first, *draws = points(sweep, SAMPLED, seed)
    largest = [(each, False) for each in _largest(sweep)]
    drawn = [(each, True) for each in draws]
    return [(first, True), *drawn[:_DRAWS_FIRST], *largest, *drawn[_DRAWS_FIRST:]]


def _largest(sweep: Sweep) -> list[Params]:
    """Return the start with every integer at its largest, for these are sizes, if that is another valid point."""
    sizes = {name: int(each.range()[1]) for name, each in sweep.space.items() if each.int_ is not None}
    point = sweep.start() | sizes
    try:
        sweep.trial(point)
    except PrepeError:
        return []
    return [point] if point != sweep.start() else []


def _measured(sweep: Sweep, params: Params, drawn: bool, budget_s: float, latest: float) -> Point:
    """Measure one point: its training, its twin's, and its evaluation, each in a share of a time; see `probe`."""
    trial = sweep.trial(params)
    evaluate.check(trial)
    part_s = budget_s / 3
    return Point(
        params,
        drawn,
        _train_s(trial.training, sweep.members, part_s, latest),
        _train_s(trial.twin, sweep.members, part_s, latest) if trial.twin else 0.0,
        _evaluate_s(trial, sweep.members, part_s),
    )


def _train_s(training: Training, members: int, budget_s: float, latest: float = math.inf) -> float:
    """Return how long a training of so many members takes, by a shorter one of as many as there is time for.

    It ends at the latest when the monotonic clock says so, but for two updates.
    """
    few = min(members, _FEW_MEMBERS)
    first_s, update_s = _updates_s(training, few, _FEW_UPDATES, latest)  # with what is made once, such as the data
    if time.monotonic() < latest:
        first_s, update_s = _updates_s(training, few, _FEW_UPDATES, latest)
    fitting = int(budget_s / max(update_s * _UPDATES / few, 1e-9))
    many = min(members, max(fitting, few))
    if many > few and time.monotonic() < latest:
        few_s, (first_s, update_s) = update_s, _updates_s(training, many, _UPDATES, latest)
        if many < members:
            update_s += max(update_s - few_s, 0.0) / (many - few) * (members - many)
    return first_s + update_s * most_updates(training.schedule)


def _updates_s(training: Training, members: int, updates: int, latest: float) -> tuple[float, float]:
    """Train for some updates spread over the whole schedule; return seconds until after the first, and for each."""
    short = training.model_copy(update={"schedule": _shortened(training.schedule, updates)})
    reached: list[tuple[int, float]] = []

    def report(done: int, total: int) -> None:
        reached.append((done, time.process_time()))
        if done >= updates or (done and time.monotonic() > latest):
            raise _Enough

    began = time.process_time()
    try:
        train.train(short, list(range(members)), device="cpu", report=report)
        reached.append((short.schedule.steps - 1, time.process_time()))
    except _Enough:
        pass
    (_, first), (last, ended) = reached[0], reached[-1]
    return first - began, (ended - first) / max(last, 1)


class _Enough(Exception):
    """Ends a training that is not wanted any further."""


def _shortened(schedule: Schedule, updates: int) -> Schedule:
    """Return a schedule with its keyframes closer together, so that each has its share of the updates.

    Where rules count steps, or there is no room, it stays as it is, and its beginning stands for all of it.
    """
    if schedule.rules or schedule.steps <= updates or len(schedule.keyframes) * 2 > updates:
        return schedule
    scale = (updates - 1) / (schedule.steps - 1)
    steps: list[int] = []
    for frame in schedule.keyframes:
        steps.append(max(round(frame.step * scale), steps[-1] + 1 if steps else 0))
    frames = [frame.model_copy(update={"step": at}) for frame, at in zip(schedule.keyframes, steps, strict=True)]
    return schedule.model_copy(update={"keyframes": tuple(frames), "steps": max(updates, steps[-1] + 1)})


def _evaluate_s(trial: Trial, members: int, budget_s: float) -> float:
    """Return how long it takes to measure so many members of a trial, untrained, by as many as there is time for."""
    _one_evaluation_s(_attacked_for(trial, 1), 1)  # what is made once
    fewer, (fewer_s, _) = 1, _with_attacks_s(trial, 1)
    if members == 1:
        return fewer_s
    many = min(members, _FEW_MEMBERS)
    many_s, spent_s = _with_attacks_s(trial, many)
    fitting = min(members, int(many * budget_s / max(spent_s, 1e-9)))
    if fitting > many:
        fewer, fewer_s, many, (many_s, _) = many, many_s, fitting, _with_attacks_s(trial, fitting)
    return many_s + max(many_s - fewer_s, 0.0) / (many - fewer) * (members - many)


def _with_attacks_s(trial: Trial, members: int) -> tuple[float, float]:
    """Return how long it takes to measure some members, and how long it took: attacks are cut short, twice."""
    lengths = [each.steps for part in trial.interventions for each in _attacks(part).values()]
    if not lengths:
        return (took := _one_evaluation_s(trial, members)), took
    short, longer = _ATTACKED_FOR
    short_s = _one_evaluation_s(_attacked_for(trial, short), members)
    longer_s = _one_evaluation_s(_attacked_for(trial, longer), members)
    step_s = max(longer_s - short_s, 0.0) / (longer - short)
    return longer_s + step_s * max(sum(lengths) / len(lengths) - longer, 0), short_s + longer_s


def _attacks(part: Any) -> dict[str, Any]:
    """Return what trains after an intervention, by the name of its key: every part of it that has steps."""
    return {name: each for name, each in part if hasattr(each, "steps")}


def _attacked_for(trial: Trial, steps: int) -> Trial:
    """Return a trial whose attacks have so many steps at most."""

    def cut(part: Any) -> Any:
        short = {n: a.model_copy(update={"steps": min(a.steps, steps)}) for n, a in _attacks(part).items()}
        return part.model_copy(update=short)

    return trial.model_copy(update={"interventions": tuple(map(cut, trial.interventions))})


def _one_evaluation_s(trial: Trial, members: int) -> float:
    began, seeds = time.process_time(), list(range(members))
    model = models.build(trial.training.model, data.task(trial.training.data))
    with train.arithmetic(torch.device("cpu")):
        evaluate.evaluate(trial, seeds, model.init(seeds), np.zeros(members, dtype=bool))
    return time.process_time() - began
