"""One proposal of a sweep in; its trial's rows and, last of all, its own row in the store out. No Ray, no Optuna."""

import json
import math
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from prepe import store, trial
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS
from prepe.errors import PrepeError
from prepe.metrics.summary import statistic
from prepe.spec import Trial
from prepe.sweep import Measure, Params, Sweep

Row = dict[str, Any]


@dataclass(frozen=True)
class Proposal:
    """A configuration that a sweep asks for.

    Attributes:
        number: its place in the sweep, from 0.
        params: a value for every parameter of the space.
        generation: how many trials had ended when it was proposed.
    """

    number: int
    params: Params
    generation: int


def work(
    sweep: Sweep, proposal: Proposal, results: Path, device: str = "auto", report: trial.Report | None = None
) -> Row:
    """Run a proposal's trial, store its rows, then the proposal's own, and return that.

    An exception in the trial makes a row whose state is `failed`, with the error in it; it is not raised. A fault of
    the store or the machine is no trial's own: it is raised, and every row that is there stays.

    Raises:
        PrepeError: the store cannot be read or written, or the device is not to be had.
    """
    began = time.perf_counter()
    named = sweep.trial(proposal.params)
    row: Row = {
        "sweep": sweep.name,
        "number": proposal.number,
        "trial": named.digest(),
        "params": json.dumps(proposal.params),
        "generation": proposal.generation,
        "members": sweep.members,
        "first_seed": sweep.first_seed,
        "goals": {each.name: each.goal for each in sweep.objectives},
    }
    try:
        row |= _outcome(sweep, named, results, device, report)
    except PrepeError:
        raise
    except Exception as error:
        last = "".join(traceback.format_exception(error))
        row |= {"state": "failed", "feasible": False, "error": last, "objectives": {}, "constraints": {}}
    row |= {"busy_s": time.perf_counter() - began, "created": datetime.now(UTC)}
    store.write(results, "proposals", f"{sweep.name}-{row['trial']}", [row])
    return row


def _outcome(sweep: Sweep, named: Trial, results: Path, device: str, report: trial.Report | None) -> Row:
    tables = trial.ensure(named, sweep.seeds, results, device=device, record=sweep.record, report=report)
    objectives = {each.name: measured(each, tables) for each in sweep.objectives}
    constraints = {each.name: each.excess(measured(each, tables)) for each in sweep.constraints}
    return {
        "state": "complete",
        "feasible": all(excess <= 0 for excess in constraints.values()),
        "objectives": objectives,
        "constraints": constraints,
        "error": None,
    }


def measured(measure: Measure, tables: dict[str, pa.Table]) -> float:
    """Return a measure's value over the members in the tables `members` and `effects`."""
    if measure.intervention is None:
        metric, table = MEMBER_METRICS[measure.metric], tables["members"]
    else:
        metric, table = EFFECT_METRICS[measure.metric], tables["effects"]
        table = table.filter(pa.compute.field("intervention") == measure.intervention)
    values = np.array(table[measure.metric].to_pylist(), dtype=float)
    value = statistic(measure.statistic, values, metric)
    return math.log10(max(value, 0.0) + 1e-6) if measure.log else value
