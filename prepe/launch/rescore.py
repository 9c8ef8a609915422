"""A sweep file and stored weights in; its trials measured as the file says today, without training, out. No Ray."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from prepe import custom, store, trial
from prepe.errors import PrepeError
from prepe.launch.job import Proposal, Row, lacks_members, members_again, stored, work
from prepe.launch.lock import sole_driver
from prepe.rows import block_name
from prepe.spec import Trial
from prepe.sweep import Sweep, digest

Report = Callable[[int, int, str], None]
_MEASURED = ("members", "effects", "items", "stages")


@dataclass
class Rescored:
    """What came of measuring a sweep's stored weights.

    Attributes:
        sweep: its name.
        rows: the proposals' rows, of the trials whose weights are stored.
        made: trials that were measured now; the other rows were there already.
        refused: trial -> which weights the store lacks.
        foreign: how many stored proposals lie outside the space of today's file; they are left alone.
    """

    sweep: str
    rows: list[Row] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    foreign: int = 0

    @property
    def failed(self) -> list[Row]:
        """The rows of trials that could not be measured."""
        return [row for row in self.rows if row["error"] is not None]


def rescore(
    sweep: Sweep,
    results: store.Root,
    *,
    trials: Sequence[str] = (),
    again: bool = False,
    folder: Path | None = None,
    device: str = "auto",
    allow_imports: bool = False,
    report: Report | None = None,
) -> Rescored:
    """Measure the trials of a sweep under its file's present concepts and interventions; nothing is trained.

    The rows are those that a run of the file would make of the same weights, proposals included, so that a run after it
    finds these trials done. A trial that is stored as it is today is measured again, in place of its rows, only if
    another version of prepe left out a column that there is now.

    Args:
        sweep: as from `sweep.load`.
        results: the store.
        trials: only these trials of the sweep, by name or the beginning of it; one that an older version of the file
            asked for stands for the trial that today's file makes at the same parameters.
        again: measure also trials that are stored as they are today once more.
        folder: of the sweep's file, where functions of its user are found beside those in the working folder.
        device: `auto`, `cpu` or `cuda`.
        allow_imports: let the sweep call functions of its user.
        report: told how many trials are measured, of how many, and which is next.

    Raises:
        PrepeError: the store has weights of none of the trials; or no such trial; or the sweep is being run into it.
    """
    calls = sweep.imports()
    custom.check_allowed(calls, allow_imports, f"sweep {sweep.name}")
    custom.look_in([each.resolve() for each in (Path(), folder) if each is not None] if calls else [])
    store.check_store(results)
    with sole_driver(results, sweep.name), _threads(sweep.resources.cpus):
        before = stored(sweep, results)
        proposals, foreign = _proposals(sweep, before)
        done = Rescored(sweep.name, foreign=foreign)
        names = _named(sweep, results, trials)
        wanted = {name: each for name, each in proposals.items() if names is None or name in names}
        for name, each in wanted.items():
            if lacking := _lacking(sweep.trial(each.params), sweep.seeds[: each.members], results):
                done.refused[name] = lacking
        ready = [name for name in wanted if name not in done.refused]
        if not ready:
            raise PrepeError(_nothing(sweep, results, done.refused))
        today = {row["trial"]: row for row in before if _of_today(row, sweep)}
        for i, name in enumerate(ready):
            if report:
                report(i, len(ready), name)
            stale = again or _outdated(sweep.trial(wanted[name].params), results)
            if stale:
                trial.measure_again(sweep.trial(wanted[name].params), results, device=device)
            if stale or name not in today:
                (today[name],) = work(sweep, [wanted[name]], results, device, stored_only=True)
                done.made.append(name)
            done.rows.append(today[name])
    return done


def _proposals(sweep: Sweep, stored: list[Row]) -> tuple[dict[str, Proposal], int]:
    """Return what to measure, by the name of today's trial, and how many stored proposals are no points of the file.

    These are every fixed point of the file, or, for a search, the points that were stored.
    """
    fitting = [row for row in stored if _fits(sweep, row)]
    points = sweep.points()
    params = [json.loads(row["params"]) for row in fitting] if points is None else points
    number = max((row["number"] for row in stored), default=-1) + 1
    before = {row["trial"]: row for row in fitting}
    proposals: dict[str, Proposal] = {}
    for point in params:
        name = sweep.trial(point).digest()
        if name in proposals:
            continue
        row = before.get(name)
        if row is not None:
            proposals[name] = Proposal(row["number"], point, row["generation"], members_again(row, sweep))
        else:
            proposals[name] = Proposal(number, point, len(proposals), sweep.rungs[0])
            number += 1
    return proposals, len(stored) - len(fitting)


def _fits(sweep: Sweep, row: Row) -> bool:
    """Say whether a stored proposal's parameters are a point of today's file."""
    params = json.loads(row["params"])
    if params.keys() != sweep.start().keys():
        return False
    for name, value in params.items():
        if not (sweep.space[name].holds(value) if name in sweep.space else value in sweep.variants):
            return False
    try:
        sweep.trial(params)
    except PrepeError:
        return False
    return True


def _named(sweep: Sweep, results: store.Root, trials: Sequence[str]) -> set[str] | None:
    """Return the names, as of today's file, of the trials that are asked for, or None if all are."""
    if not trials:
        return None
    names: set[str] = set()
    for each in trials:
        facts = store.trial_named(results, each)
        rows = [row for row in facts["proposals"] if row["sweep"] == sweep.name]
        if not rows:
            raise PrepeError(f"trial {facts['trial']}: not of the sweep {sweep.name}; allowed: trials of this sweep")
        fitting = [row for row in rows if _fits(sweep, row | {"params": json.dumps(row["params"])})]
        if not fitting:
            raise PrepeError(
                f"trial {facts['trial']}: its parameters are no point of {sweep.name} as the file is today"
            )
        names.update(sweep.trial(row["params"]).digest() for row in fitting)
    return names


def _lacking(wanted: Trial, seeds: list[int], results: store.Root) -> str:
    """Say which weights a store lacks for a trial, or nothing."""
    lacking = []
    for what, training in (("model", wanted.training), ("twin", wanted.twin)):
        if training is None:
            continue
        kept = store.read(results, "models", columns=["seed"], names=f"{training.digest()}-*")["seed"].to_pylist()
        missing = trial.blocks(sorted(set(seeds) - set(kept)))
        if missing:
            blocks = ", ".join(map(block_name, missing))
            lacking.append(f"{what} {training.digest()} of seeds {blocks}")
    return "; ".join(lacking)


def _of_today(row: Row, sweep: Sweep) -> bool:
    """Say whether a stored proposal is whole, and judged by today's version of the file."""
    return row["state"] == "complete" and row["digest"] == digest(sweep) and not lacks_members(row, sweep)


def _outdated(wanted: Trial, results: store.Root) -> bool:
    """Say whether a trial's rows lack a column that a table has today; stages only where they can be measured again."""
    checkpoints = store.read(results, "checkpoints", columns=["seed"], names=f"{wanted.training.digest()}-*")
    tables = [table for table in _MEASURED if table != "stages" or len(checkpoints)]
    return any(store.columns_lacked(results, table, f"{wanted.digest()}-*") for table in tables)


def _nothing(sweep: Sweep, results: store.Root, refused: dict[str, str]) -> str:
    if not refused:
        return f"sweep {sweep.name}: {results} has no trial of it whose weights could be measured; see: prepe run"
    name, lacking = next(iter(refused.items()))
    more = f", and {len(refused) - 1} more trials lack theirs" if len(refused) > 1 else ""
    return (
        f"sweep {sweep.name}: {results} lacks weights for trial {name}: {lacking}{more}; "
        "rescore trains nothing, and prepe run would train them"
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with so many threads while in this context."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


__all__ = ["Report", "Rescored", "rescore"]
