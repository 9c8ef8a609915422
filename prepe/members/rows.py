"""What a user typed in, a trial or `SWEEP:VARIANT`; the stored members of that trial, and numbers about them, out."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prepe import store
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, Metric, unknown
from prepe.errors import PrepeError
from prepe.metrics.summary import with_worst
from prepe.spec import Trial, trial_from_json

Row = dict[str, Any]
VAL = "val:"
_VAL_METRIC = Metric("the term on the validation items", "min", math.inf)


@dataclass(frozen=True)
class Members:
    """The members of one stored trial.

    Attributes:
        trial: its name.
        name: what it was called by.
        spec: what it is.
        seeds: of its members, in order.
        rows: seed -> row of `members`.
        effects: intervention -> seed -> row of `effects`, in the order of the file.
    """

    trial: str
    name: str
    spec: Trial
    seeds: list[int]
    rows: dict[int, Row]
    effects: dict[str, dict[int, Row]]

    @property
    def labels(self) -> list[str]:
        """The interventions that were measured."""
        return list(self.effects)

    @cached_property
    def terms(self) -> list[str]:
        """Terms with a value on the validation items, as `val:TERM`."""
        return [val_term(name) for name in dict.fromkeys(name for row in self.rows.values() for name in _val(row))]

    @property
    def broken(self) -> list[int]:
        """Seeds of the members that stopped in training."""
        return [seed for seed in self.seeds if self.rows[seed]["broken"]]

    def metrics(self, intervention: str | None = None) -> list[str]:
        """Return the metrics that were measured: of an intervention's effect, or of the members with `val:TERM`."""
        known = EFFECT_METRICS if intervention else MEMBER_METRICS
        measured = [name for name in known if any(row[name] is not None for row in self._of(intervention).values())]
        return measured + ([] if intervention else self.terms)

    def values(self, metric: str, intervention: str | None = None) -> np.ndarray:
        """Return one value a member, in the order of the seeds; NaN where a member broke.

        Args:
            metric: of an intervention's effect, when one is given, else of the members themselves; or `val:TERM`.
            intervention: its label.

        Raises:
            PrepeError: there is no such metric or intervention, or it was not measured.
        """
        if intervention is not None and intervention not in self.effects:
            raise PrepeError(f"trial {self.trial}: {unknown(intervention, self.labels, 'intervention')}")
        if metric not in self.metrics(intervention):
            raise PrepeError(f"trial {self.trial}: {self._absent(metric, intervention)}")
        rows = self._of(intervention)
        if metric.startswith(VAL):
            found = [_val(rows[seed]).get(metric.removeprefix(VAL)) for seed in self.seeds]
        else:
            found = [rows[seed][metric] if seed in rows else None for seed in self.seeds]
        return np.array([math.nan if each is None else each for each in found], dtype=float)

    def counted(self, metric: str, intervention: str | None = None) -> np.ndarray:
        """Return the same with the metric's worst in place of NaN: a broken member is never dropped."""
        return with_worst(self.values(metric, intervention), meaning(metric, intervention))

    def of_seeds(self, seeds: Iterable[int]) -> "Members":
        """Return some of its members, in order of their seeds."""
        kept = sorted(seeds)
        return Members(self.trial, self.name, self.spec, kept, self.rows, self.effects)

    def _of(self, intervention: str | None) -> dict[int, Row]:
        return self.rows if intervention is None else self.effects[intervention]

    def _absent(self, metric: str, intervention: str | None) -> str:
        measured = self.metrics(intervention)
        if metric in (EFFECT_METRICS if intervention else MEMBER_METRICS):
            return f"{metric!r} was not measured; allowed: {', '.join(measured)}"
        hint = " (of an intervention's effect alone)" if metric in EFFECT_METRICS else ""
        return f"{unknown(metric, measured, 'metric')}{hint}"


def meaning(metric: str, intervention: str | None = None) -> Metric:
    """Return which way a metric is better, and what a broken member counts as: infinite, for `val:TERM`."""
    if metric.startswith(VAL):
        return _VAL_METRIC
    return (EFFECT_METRICS if intervention else MEMBER_METRICS)[metric]


def val_term(term: str) -> str:
    """Return the name of a term's value on the validation items."""
    return f"{VAL}{term}"


def find(results: store.Root, name: str) -> Members:
    """Find a trial by its name or the beginning of it, as `SWEEP:VARIANT`, or as a sweep that has one trial.

    Of a sweep, these are its own members; of a trial, all that are stored.

    Raises:
        PrepeError: no such trial, sweep or variant, or several trials; or the trial failed, and has no members.
    """
    store.check_store(results)
    proposed = store.proposal_named(results, name)
    if proposed:
        trial, first = proposed["trial"], proposed["first_seed"]
        seeds = list(range(first, first + proposed["members"]))
    else:
        facts = store.trial_named(results, name)
        trial, seeds = facts["trial"], facts["seeds"]
    return of_seeds(results, trial, seeds, name)


def of_sweep(results: store.Root, name: str) -> list[Members]:
    """Return the members of each complete trial of a sweep, in order of proposal, called by their variant if any.

    Raises:
        PrepeError: no such sweep, or none of its trials is complete.
    """
    sweep = store.sweep_named(results, name)
    rows = (
        store.last_version(store.read(results, "proposals", pc.field("sweep") == sweep)).sort_by("number").to_pylist()
    )
    complete = {row["trial"]: row for row in rows if row["state"] == "complete"}
    if not complete:
        raise PrepeError(f"sweep {sweep}: none of its trials is complete; see: prepe show TRIAL")
    return [
        of_seeds(
            results,
            trial,
            range(row["first_seed"], row["first_seed"] + row["members"]),
            str(json.loads(row["params"] or "{}").get("variant", trial)),
        )
        for trial, row in complete.items()
    ]


def of_seeds(results: store.Root, trial: str, seeds: Sequence[int], name: str) -> Members:
    """Return a stored trial's members with some seeds.

    Args:
        results: the store.
        trial: its whole name.
        seeds: whose members.
        name: what it is called by.

    Raises:
        PrepeError: it failed, and has no members.
    """
    specs = store.read(results, "trials", columns=["spec"], names=f"{trial}-*")["spec"].to_pylist()
    if not specs:
        raise PrepeError(f"trial {trial}: it failed, or is being made, so it has no members; see: prepe show {trial}")
    return of_tables(
        trial,
        name,
        trial_from_json(specs[0]),
        *(
            store.read(results, table, where=pc.field("seed").isin(list(seeds)), names=f"{trial}-*")
            for table in ("members", "effects")
        ),
    )


def of_tables(trial: str, name: str, spec: Trial, members: pa.Table, effects: pa.Table) -> Members:
    """Return a trial's members from its rows; where two blocks have the same one, that of the first block counts."""
    rows = {row["seed"]: row for row in reversed(members.sort_by("block").to_pylist())}
    by_label: dict[str, dict[int, Row]] = {}
    for row in effects.sort_by("block").to_pylist():
        by_label.setdefault(row["intervention"], {}).setdefault(row["seed"], row)
    order = [each.label for each in spec.interventions if each.label in by_label]
    return Members(trial, name, spec, sorted(rows), rows, {label: by_label[label] for label in order})


def _val(row: Row) -> dict[str, float]:
    return dict(row["val_terms"] or ())
