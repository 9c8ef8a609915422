"""Proposals of a sweep in; their trials' rows and, last of all, their own rows in the store out. No Ray, no Optuna."""

import json
import math
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prepe import store, trial
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS
from prepe.errors import PrepeError
from prepe.measures import Measure
from prepe.metrics.summary import statistic
from prepe.spec import Trial
from prepe.store.patience import meanwhile
from prepe.sweep import Params, Sweep, digest

Row = dict[str, Any]
Alarm = Callable[[float | None], None]


@dataclass(frozen=True)
class Proposal:
    """A configuration that a sweep asks for.

    Attributes:
        number: its place in the sweep, from 0.
        params: a value for every parameter of the space.
        generation: how many trials had ended when it was proposed.
        members: how many the trial should have, from the sweep's first seed on.
        spent_s: how long workers had it before, with fewer members or in vain.
    """

    number: int
    params: Params
    generation: int
    members: int
    spent_s: float = 0.0


def work(
    sweep: Sweep,
    proposals: list[Proposal],
    results: store.Root,
    device: str = "auto",
    report: trial.Report | None = None,
    stored_only: bool = False,
    alarm: Alarm | None = None,
) -> Iterator[Row]:
    """Do the proposals of one job: store the rows of each trial, then the proposal's own, and give that.

    Models of one shape that several of them lack are trained in one batch before; should that fail, every proposal
    trains its own. An exception in a trial makes a row as from `kept`; it is not raised.
    A fault of the store or the machine is no trial's own: it is raised, and every row that is there stays. With
    `stored_only`, nothing is trained, and weights that the store lacks are such a fault.

    Where the sweep's budget has a timeout, a trial for which that has run out fails when it next reports a step, and
    `alarm` is called before each with the seconds in which it must have ended, so that a trial may be killed that does
    not report; with None when it has. What trials train together, they have that much time for each.

    Raises:
        PrepeError: the store cannot be read or written, or the device is not to be had.
    """
    began = time.perf_counter()
    limit_s = sweep.budget.timeout_s
    costs: trial.Costs = {}
    if not stored_only:
        with _timed(limit_s and limit_s * len(proposals), report, alarm) as watched:
            costs = _prepare(sweep, proposals, results, device, watched)
    share_s = (time.perf_counter() - began) / len(proposals)
    for proposal in proposals:
        began = time.perf_counter() - share_s
        with _timed(limit_s, report, alarm) as watched:
            row = _row(
                sweep,
                proposal,
                results,
                device=device,
                record=sweep.record,
                report=watched,
                costs=costs,
                stored_only=stored_only,
            )
        yield write(results, row | {"busy_s": proposal.spent_s + time.perf_counter() - began})


@contextmanager
def _timed(limit_s: float | None, report: trial.Report | None, alarm: Alarm | None) -> Iterator[trial.Report | None]:
    """Give what to report steps to; it raises a TimeoutError when the time is over that is meant for this context.

    That begins anew while a store is waited for that does not answer.
    """
    if limit_s is None:
        yield report
        return
    end = time.monotonic() + limit_s

    def watched(doing: str, done: int, total: int) -> None:
        if time.monotonic() > end:
            raise TimeoutError(f"{doing} was at step {done} of {total} after budget.timeout_s = {limit_s:g}")
        if report:
            report(doing, done, total)

    def anew() -> None:  # what a trial waits for its store is not its own time
        nonlocal end
        end = time.monotonic() + limit_s
        if alarm:
            alarm(limit_s)

    if alarm:
        alarm(limit_s)
    try:
        with meanwhile(anew):
            yield watched
    finally:
        if alarm:
            alarm(None)


def _prepare(
    sweep: Sweep, proposals: list[Proposal], results: store.Root, device: str, report: trial.Report | None
) -> trial.Costs:
    """Train together what can be, and return what was spent on each model."""
    trials, seeds = [sweep.trial(each.params) for each in proposals], sweep.seeds[: proposals[0].members]
    try:
        return trial.prepare(trials, seeds, results, device=device, record=sweep.record, report=report)
    except PrepeError:
        raise
    except Exception:  # the trial at fault meets it again alone, and its row says it
        return {}


def _row(sweep: Sweep, proposal: Proposal, results: store.Root, **options: Any) -> Row:
    """Make sure that the store has a proposal's trial, and return its row, but for when and how long."""
    seeds = sweep.seeds[: proposal.members]
    try:
        tables = trial.ensure(sweep.trial(proposal.params), seeds, results, **options)
        return _identity(sweep, proposal) | _outcome(sweep, tables, seeds)
    except PrepeError:
        raise
    except Exception as error:
        return kept(results, failure(sweep, proposal, "".join(traceback.format_exception(error))))


def kept(results: store.Root, failed: Row) -> Row:
    """Return the row of a proposal that failed; a trial that was complete before, with fewer members, stays so.

    Its row has the error beside its outcome.

    Raises:
        PrepeError: the store cannot be read.
    """
    of_trial = (pc.field("sweep") == failed["sweep"]) & (pc.field("trial") == failed["trial"])
    rows = store.read(results, "proposals", of_trial, names=f"{failed['sweep']}-{failed['trial']}").to_pylist()
    last = max(rows, key=lambda row: row["created"], default=None)
    if last is None or last["state"] != "complete" or last["digest"] != failed["digest"]:
        return failed
    why = f"{failed['error'].rstrip()} (with {failed['members']} members; its {last['members']} are kept)"
    return last | {"error": why}


def failure(sweep: Sweep, proposal: Proposal, error: str) -> Row:
    """Return the row of a proposal that failed, but for when and how long; the error's last line is its summary."""
    failed: Row = {"state": "failed", "feasible": False, "error": error, "objectives": {}, "constraints": {}}
    return _identity(sweep, proposal) | failed


def _identity(sweep: Sweep, proposal: Proposal) -> Row:
    return {
        "sweep": sweep.name,
        "digest": digest(sweep),
        "number": proposal.number,
        "trial": sweep.trial(proposal.params).digest(),
        "params": json.dumps(proposal.params),
        "generation": proposal.generation,
        "members": proposal.members,
        "first_seed": sweep.first_seed,
        "goals": {each.name: each.goal for each in sweep.objectives},
    }


def stored(sweep: Sweep, results: store.Root) -> list[Row]:
    """Return a sweep's stored proposals, of whatever version of its file, in order, and of each the last row alone."""
    rows = store.read(results, "proposals", pc.field("sweep") == sweep.name, names=f"{sweep.name}-*").to_pylist()
    last = {row["trial"]: row for row in sorted(rows, key=lambda row: row["created"])}
    return sorted(last.values(), key=lambda row: row["number"])


def lacks_members(row: Row, sweep: Sweep) -> bool:
    """Say whether a stored proposal has fewer members than every trial of a sweep has at first."""
    first, members = row["first_seed"], row["members"]
    return bool(first > sweep.first_seed or first + members < sweep.first_seed + sweep.rungs[0])


def members_again(row: Row, sweep: Sweep) -> int:
    """Return how many members a stored proposal should have when it is done again."""
    had: int = row["first_seed"] + row["members"] - sweep.first_seed
    return max(sweep.rungs[0], min(had, sweep.members))


def unrecorded(sweep: Sweep, results: store.Root, rows: list[Row]) -> int:
    """Count the models whose training kept less than their sweep's file asks for, since that is in no digest.

    Args:
        sweep: as its file is today.
        results: the store.
        rows: of its proposals.
    """
    if not (sweep.record.checkpoints or sweep.record.snapshots):
        return 0
    trials = [sweep.trial(json.loads(row["params"])) for row in rows if row["state"] == "complete"]
    return len({each.training.digest() for each in trials if _is_unrecorded(each, sweep, results)})


def _is_unrecorded(named: Trial, sweep: Sweep, results: store.Root) -> bool:
    """Say whether stages or snapshots of a trial lack a step for a whole block; a published one keeps no snapshots."""
    wanted, model = sweep.record, named.training.digest()
    seeds = pc.field("seed").isin(sweep.seeds)
    columns = ["block", "seed", "broken_step"]
    members = store.read(results, "members", seeds, columns, f"{named.digest()}-*").to_pylist()
    whole = {row["block"] for row in members if row["broken_step"] is None}
    stages = store.read(results, "stages", seeds, ["block", "step"], f"{named.digest()}-*").to_pylist()
    if _lacks(whole, wanted.checkpoints, named.training.schedule.steps, stages):
        return True
    if not wanted.shown_members:
        return False
    trained = store.read(results, "history", columns=["block"], names=f"{model}-*")["block"].unique().to_pylist()
    shown = store.read(results, "snapshots", columns=["block", "step"], names=f"{model}-*").to_pylist()
    return _lacks(whole & set(trained), wanted.snapshots, named.training.schedule.steps - 1, shown)


def _lacks(blocks: set[str], wanted: tuple[int, ...], last: int, rows: list[Row]) -> bool:
    there = {(row["block"], row["step"]) for row in rows}
    return any((block, step) not in there for block in blocks for step in wanted if step <= last)


def write(results: store.Root, row: Row) -> Row:
    """Store a proposal's row as one of now, and return it."""
    row = row | {"created": datetime.now(UTC)}
    store.write(results, "proposals", f"{row['sweep']}-{row['trial']}", [row])
    return row


def _outcome(sweep: Sweep, tables: dict[str, pa.Table], seeds: list[int]) -> Row:
    objectives = {each.name: measured(each, tables) for each in sweep.objectives}
    constraints = _excess(sweep, tables)
    return {
        "state": "complete",
        "feasible": all(excess <= 0 for excess in constraints.values()),
        "objectives": objectives,
        "constraints": constraints,
        "error": None,
        "rungs": _worth(sweep, tables, seeds),
    }


def _excess(sweep: Sweep, tables: dict[str, pa.Table]) -> dict[str, float]:
    return {each.name: each.excess(measured(each, tables)) for each in sweep.constraints}


def _worth(sweep: Sweep, tables: dict[str, pa.Table], seeds: list[int]) -> list[Row] | None:
    """Return what a trial was worth at every rung that it has reached, if some get more members than others."""
    promise = sweep.promise()
    if promise is None:
        return None
    rungs: list[Row] = []
    for members in (each for each in sweep.rungs if each <= len(seeds)):
        first = {name: table.filter(pc.field("seed") < seeds[0] + members) for name, table in tables.items()}
        feasible = all(excess <= 0 for excess in _excess(sweep, first).values())
        value = measured(promise, first)
        rungs.append({"members": members, "measure": promise.name, "value": value, "feasible": feasible})
    return rungs


def measured(measure: Measure, tables: dict[str, pa.Table]) -> float:
    """Return a measure's value over the members in the tables `members` and `effects`."""
    if measure.intervention is None:
        metric, table = MEMBER_METRICS[measure.metric], tables["members"]
    else:
        metric, table = EFFECT_METRICS[measure.metric], tables["effects"]
        table = table.filter(pc.field("intervention") == measure.intervention)
    values = np.array(table[measure.metric].to_pylist(), dtype=float)
    value = statistic(measure.statistic, values, metric)
    return math.log10(max(value, 0.0) + 1e-6) if measure.log else value
