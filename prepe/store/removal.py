"""A sweep or a trial of a store in; the store without its rows out. What other sweeps use stays.

Rows go from files of their own with these, and from compacted files by writing those anew (see `compact`).
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from prepe.errors import PrepeError
from prepe.store import files
from prepe.store.compact import alone, replace, shared_blocks, sweep_up
from prepe.store.find import running, sweep_named, trial_named
from prepe.store.footer import Held
from prepe.store.gone import while_folded
from prepe.store.parts import held
from prepe.store.read import check_store, read
from prepe.store.root import Root
from prepe.store.scan import count as counted
from prepe.store.scan import of_files, scanned
from prepe.store.write import COMPACTED, put, serialize

ASIDE = "_aside"
_OF_TRIALS = ("trials", "members", "stages", "effects", "items")
_OF_MODELS = ("models", "history", "checkpoints", "snapshots")


@dataclass(frozen=True)
class Removal:
    """What goes with a sweep or a trial.

    Attributes:
        name: of the sweep, or the trial.
        proposals: which rows go, as a condition.
        trials: whose rows go; those of other sweeps stay.
        models: whose rows go, of which there are none in a trial that stays.
        kept: trials of the sweep that stay, since other sweeps have them too.
        rows: how many go, by table; filled in by `remove`.
    """

    name: str
    proposals: pc.Expression
    trials: list[str]
    models: list[str]
    kept: list[str]
    rows: dict[str, int] = field(default_factory=dict)


def plan(root: Root, name: str) -> Removal:
    """Return what goes with a sweep, by its name or its file, or else a trial, by its name or the beginning of it.

    Raises:
        PrepeError: there is no store, or no such sweep or trial.
    """
    check_store(root)
    proposals = read(root, "proposals", columns=["sweep", "trial"])
    if name.removesuffix(".toml").rpartition("/")[2] in proposals["sweep"].unique().to_pylist():
        name = sweep_named(root, name)
        of_sweep = pc.field("sweep") == name
        own = proposals.filter(of_sweep)["trial"].unique()
        others = proposals.filter(~of_sweep)["trial"].unique()
    else:
        name = trial_named(root, name)["trial"]
        of_sweep, own, others = pc.field("trial") == name, pa.array([name]), pa.array([], pa.string())
    going = own.filter(pc.invert(pc.is_in(own, others)))
    trials = read(root, "trials", columns=["trial", "model", "twin"])
    goes = pc.field("trial").isin(going)
    models, staying = (
        {each for column in ("model", "twin") for each in trials.filter(kept)[column].to_pylist() if each}
        for kept in (goes, ~goes)
    )
    kept = sorted(set(own.to_pylist()) - set(going.to_pylist()))
    return Removal(name, of_sweep, sorted(going.to_pylist()), sorted(models - staying), kept)


def remove(root: Root, planned: Removal) -> dict[str, int]:
    """Remove what was planned, proposals first, so that nothing is half there; return how many rows went, by table.

    What other sweeps have asked for since it was planned stays too.

    Raises:
        PrepeError: a file cannot be read or written, another process is at it, or the sweep, or one of the trial, runs.
    """
    with alone(root):
        planned = plan(root, planned.name)
        sweeps = set(read(root, "proposals", planned.proposals, ["sweep"])["sweep"].to_pylist())
        if busy := sorted(sweeps & running(root)):
            raise PrepeError(f"sweep {busy[0]}: it is being run; allowed: after it, a minute after a kill")
        doomed = {"proposals": planned.proposals}
        doomed |= {table: pc.field("trial").isin(pa.array(planned.trials, pa.string())) for table in _OF_TRIALS}
        doomed |= {table: pc.field("model").isin(pa.array(planned.models, pa.string())) for table in _OF_MODELS}
        return {table: count for table, where in doomed.items() if (count := take_out(root, table, where))}


def take_out(
    root: Root, table: str, where: pc.Expression, *, aside: bool = False, only: Collection[str] | None = None
) -> int:
    """Take rows out of a table, in a context of `alone`, and return how many.

    Args:
        root: the store.
        table: its name.
        where: what is true of these rows.
        aside: keep them below `_aside`, which no reader looks at.
        only: the stems of the files to look at; all of them when left out.
    """
    sweep_up(root, table)
    every = while_folded(lambda: held(root, table))
    count = 0
    for each in (each for kind in every for each in kind if only is None or each.stem in only):
        one = of_files(root, table, [each])
        if out := counted(one, where):
            count += out
            _take(root, table, each, scanned(one), where, aside)
    return count


def _take(root: Root, table: str, each: Held, rows: pa.Table, where: pc.Expression, aside: bool) -> None:
    out, name = rows.filter(where), (table, f"{each.stem}.parquet")
    if aside and len(out) == len(rows):
        set_aside(root, *name)
        return
    if aside:
        content = serialize(table, out)
        files.put(root, (ASIDE, table, f"{each.stem}-{secrets.token_hex(4)}.parquet"), content)
    stay = rows.filter(~where | where.is_null())
    if len(stay) and each.stem.endswith(COMPACTED):
        replace(root, table, [each.stem], stay, shared_blocks(root, table))
    elif len(stay):
        put(root, table, each.stem, serialize(table, stay))
        return
    files.remove(root, *name)


def set_aside(root: Root, table: str, name: str) -> None:
    """Move a file of a table below `_aside`, which no reader looks at."""
    files.move(root, (table, name), (ASIDE, table, name))
