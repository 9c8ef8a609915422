"""A sweep in; how many trials and members it has, how long they take and what they cost on stated machines, out.

A probe of at most ten seconds trains some members for some updates at points of the space, and measures them, in this
process: it starts no Ray and stores nothing.
"""

import math
import statistics
import time
from dataclasses import dataclass

from prepe.errors import PrepeError
from prepe.launch.halving import expected
from prepe.planning.machines import PRICES, Cluster, Machines, cluster, here
from prepe.planning.probe import PROBE_S, SAMPLED, Point, probe
from prepe.planning.probe import points as points_of
from prepe.sweep import Sweep

START_S = 12.0
"""What a run takes before its first trial and after its last: Ray's start and end, and the workers' imports."""
PER_TRIAL_S = 0.15
"""What a trial takes beside training and measuring: writing its rows, and Tune."""
_HERE, _ELSEWHERE = 0.25, 0.5
"""How wrong the time may be though the probe was right: other load here; another processor elsewhere."""


@dataclass(frozen=True)
class Plan:
    """What is to be expected.

    Attributes:
        trials, left, members, twins: how many the sweep asks for; of trials, how many are still to be done; the members
            of these; and the twins that they need.
        points: what the probe measured, the start first.
        probe_s: how long that took.
        work_s: of one job after the other, without what starts and ends a run.
        wall_s: from the command to its end.
        machines: how many machines of each kind are used.
        cost: of all machines; None where prices are not known, or nothing is paid for.
        uncertainty: the share by which times and costs may be off, upwards or downwards.
    """

    trials: int
    left: int
    members: int
    twins: int
    points: tuple[Point, ...]
    probe_s: float
    slots: int
    work_s: float
    wall_s: float
    machines: dict[str, int]
    cost: float | None
    uncertainty: float


def plan(
    sweep: Sweep,
    where: Cluster,
    *,
    stored: int = 0,
    members: int | None = None,
    budget_s: float = PROBE_S,
    seed: int = 0,
) -> Plan:
    """Say what a sweep takes on a cluster.

    Args:
        sweep: as from `sweep.load`.
        where: as from `here` or `cluster`.
        stored: how many of its trials the store has.
        members: how many are still to be trained; None: as many as all other trials are expected to get.
        budget_s: for the probe.
        seed: of the points that are probed.

    Raises:
        PrepeError: no machine takes its jobs; or an attack has nothing to train on or to watch.
    """
    slots = min(where.slots, sweep.resources.concurrency or where.slots)
    if not slots:
        raise PrepeError(f"{where.name}: no machine without a GPU takes jobs of {sweep.resources.cpus} CPUs")
    began = time.monotonic()
    points = probe(sweep, budget_s, seed)
    probe_s = time.monotonic() - began
    left = max(sweep.trials - stored, 0)
    members = expected(sweep, left) if members is None and left else members or 0
    full = members / sweep.members  # trials of all members, with as much to train
    typical = [each for each in points if each.drawn]
    trial_s = statistics.fmean(each.model_s + each.evaluate_s for each in typical) + PER_TRIAL_S
    others = max(left, math.ceil(full))
    twins = min(round(others * _distinct(sweep, others, seed)), full) if sweep.twin else 0
    work_s = full * trial_s + twins * statistics.fmean(each.twin_s for each in typical)
    job_s = work_s / full if full else 0.0
    rounds = max(work_s / slots, job_s)
    wall_s = (where.boot_s + START_S + rounds) if full else 0.0
    used = _used(where, min(math.ceil(max(left, full) / sweep.resources.pack), slots))
    spread = statistics.stdev(each.model_s + each.twin_s + each.evaluate_s for each in typical) if typical[1:] else 0.0
    of_draws = 2 * spread / (math.sqrt(len(typical)) * job_s) if job_s else 0.0
    return Plan(
        trials=sweep.trials,
        left=left,
        members=members,
        twins=round(twins * sweep.members),
        points=tuple(points),
        probe_s=probe_s,
        slots=slots,
        work_s=work_s,
        wall_s=wall_s,
        machines=used,
        cost=_cost(where, used, wall_s) if full else 0.0,
        uncertainty=min(of_draws, 1.0) + (_ELSEWHERE if where.head else _HERE),
    )


def _used(where: Cluster, jobs: int) -> dict[str, int]:
    """Return how many machines of each kind are started for so many jobs."""
    used: dict[str, int] = {}
    for each in where.workers:
        used[each.name] = min(each.count, math.ceil(jobs / each.jobs)) if each.jobs else 0
        jobs = max(jobs - used[each.name] * each.jobs, 0)
    return used


def _cost(where: Cluster, used: dict[str, int], wall_s: float) -> float | None:
    """Return what machines cost: the head all the time, the others until they have been idle for long enough."""
    if where.head is None:
        return None
    paid = [(where.head.price, wall_s)]
    paid += [(each.price, used[each.name] * (wall_s + where.idle_s)) for each in where.workers if used[each.name]]
    if any(price is None for price, _ in paid):
        return None
    return sum((price or 0.0) * seconds / 3600 for price, seconds in paid)


def _distinct(sweep: Sweep, left: int, seed: int) -> float:
    """Return the share of trials that train a twin of their own; others have the sizes of one before."""
    params = points_of(sweep, min(left, SAMPLED), seed)
    names = [twin.digest() for each in params if (twin := sweep.trial(each).twin) is not None]
    return len(set(names)) / len(names) if names else 0.0


__all__ = ["PRICES", "Cluster", "Machines", "Plan", "Point", "cluster", "here", "plan", "probe"]
