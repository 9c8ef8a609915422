"""Sweep files' claims and a store's rows in; a verdict for each claim, with its figure and an interval, out.

Neither torch nor Ray.
"""

import math
import re
import shlex
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa

from prepe import store
from prepe import sweep as sweeps
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, Metric
from prepe.errors import PrepeError
from prepe.measures import Claim
from prepe.members import interval
from prepe.metrics.summary import statistics
from prepe.sweep import Sweep

_DECILE = 10
"""Of how many values, or fewer, the worst tenth is one."""
_LEAST, _MOST = Metric("of sql", "max", -math.inf), Metric("of sql", "min", math.inf)
_VIEWS_OF_METRICS = ("trials", "members", "effects")


@dataclass(frozen=True)
class Checked:
    """What came of a claim.

    Attributes:
        sweep: the name of the claim's sweep.
        claim: the claim.
        verdict: `not run` if the store does not have what the claim is about.
        value: the claim's statistic; NaN if not run, as the next two.
        low, high: its 95 % interval over seeds; of one seed, everything; NaN if it is of these seeds alone.
        seeds: how many it was had from.
        unresolved: a bound of the claim lies inside the interval, so that other seeds could turn the verdict.
        bad: how many values are not numbers, and counted as the worst there can be.
        missing: if not run, what is missing and the command that makes it.
    """

    sweep: str
    claim: Claim
    verdict: Literal["holds", "fails", "not run"]
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    seeds: int = 0
    unresolved: bool = False
    bad: int = 0
    missing: str = ""

    @property
    def of_these_seeds(self) -> bool:
        """Whether the value is the smallest or largest of those stored: resampling cannot say how others would be."""
        return _is_extreme(self.claim, self.seeds)

    @property
    def contradicts(self) -> bool:
        """Whether the file says otherwise: a claim is to hold, unless its `fails` says what was found instead."""
        return self.verdict != "not run" and (self.verdict == "fails") == (self.claim.fails is None)


def check(files: Iterable[Path] | None = None, results: store.Root | None = None) -> list[Checked]:
    """Check sweep files' claims on stored rows.

    Values are one a seed. The interval is that of a bootstrap over seeds, see `prepe.members.bootstrap`. A smallest or
    largest value has none, and is never unresolved: no resample passes it, though another seed may. A member that is
    broken counts as the metric's worst; a value of SQL that is null or not a number lies wherever the claim fails. A
    claim for which there are no rows is not run.

    Args:
        files: sweep files; those of the folder `sweeps` that have claims when left out.
        results: the store; when left out, the usual one, which need not be there.

    Raises:
        PrepeError: a file cannot be read; there is no such store; a claim's SQL is no query, names what is not there,
            or does not give one number a seed.
    """
    loaded = {file: sweeps.load(file) for file in (default_files() if files is None else files)}
    root = store.default_root(results)
    if results is None and not store.is_remote(root) and not Path(root).exists():
        return [
            _not_run(sweep, claim, _all_of(file, sweep, root))
            for file, sweep in loaded.items()
            for claim in sweep.claims
        ]
    points = [sweep.start() for sweep in loaded.values()]
    with closing(store.connect(root, _views(loaded.values()), points)) as con:
        missing: dict[Path, str] = {}
        return [row for file, sweep in loaded.items() for row in _of_sweep(con, file, sweep, root, missing)]


def default_files(folder: Path = Path("sweeps")) -> list[Path]:
    """Return a folder's sweep files that have claims.

    Raises:
        PrepeError: there is none.
    """
    files = [file for file in sorted(folder.glob("*.toml")) if sweeps.load(file).claims]
    if not files:
        raise PrepeError(f"{folder}: no sweep file with claims here; name files, as in: prepe check FILE")
    return files


def _views(loaded: Iterable[Sweep]) -> list[str]:
    """Return the views that claims need."""
    queries = " ".join(claim.sql or "" for sweep in loaded for claim in sweep.claims)
    return [*dict.fromkeys((*_VIEWS_OF_METRICS, *store.mentioned(queries)))]


def _of_sweep(
    con: duckdb.DuckDBPyConnection, file: Path, sweep: Sweep, root: store.Root, missing: dict[Path, str]
) -> list[Checked]:
    """Check a sweep's claims; what of which file is missing is noted, to be looked up again."""
    rows = []
    for i, claim in enumerate(sweep.claims):
        lacked = _lacked(con, file, claim, root, missing)
        try:
            selected = store.select(con, _sql(sweep.name, claim))
            _check_columns(selected)
            lacked = lacked or ("" if len(selected) else _empty(claim))
            rows.append(_not_run(sweep, claim, lacked) if lacked else _judged(sweep, claim, selected))
        except PrepeError as error:
            key = "metric" if claim.sql is None else "sql"
            raise PrepeError(f"{file}: claims[{i}].{key}: {str(error).removeprefix('query: ')}") from None
    return rows


def _lacked(
    con: duckdb.DuckDBPyConnection, file: Path, claim: Claim, root: store.Root, missing: dict[Path, str]
) -> str:
    """Say what a store lacks for a claim: of its own sweep, and of those in files beside its own that its SQL names."""
    texts = dict.fromkeys(re.findall(r"'([\w.-]{1,99})'", claim.sql or ""))
    others = [each for each in (file.parent / f"{text}.toml" for text in texts) if each != file and each.is_file()]
    for each in (file, *others):
        if each not in missing:
            missing[each] = _missing(con, each, sweeps.load(each), root)
        if missing[each]:
            return missing[each] if each == file else f"{each.stem}: {missing[each]}"
    return ""


def _empty(claim: Claim) -> str:
    return "its query selects no rows" if claim.sql is not None else "no rows of it are stored"


def _not_run(sweep: Sweep, claim: Claim, missing: str) -> Checked:
    return Checked(sweep.name, claim, "not run", missing=missing)


def _missing(con: duckdb.DuckDBPyConnection, file: Path, sweep: Sweep, root: store.Root) -> str:
    """Say what a store lacks of this version of a sweep's file, and the command that makes it, or nothing."""
    wanted = f"SELECT digest, state, members, first_seed FROM trials WHERE sweep = {_quoted(sweep.name)}"
    rows = store.select(con, wanted).to_pylist()
    if not rows:
        return _all_of(file, sweep, root)
    if rows[0]["digest"] != sweeps.digest(sweep):
        return f"what is stored is of another version of the file ({_command(file, sweep, root)})"
    complete = [row for row in rows if row["state"] == "complete"]
    failed = len(rows) - len(complete)
    if not complete or len(complete) + (failed if sweep.points() is None else 0) < _trials(sweep):
        retry = " --retry-failed" if failed else ""
        return f"{len(complete)} of {sweep.trials} trials are complete ({_command(file, sweep, root)}{retry})"
    first, end = sweep.first_seed, sweep.first_seed + sweep.members
    members = min(min(row["first_seed"] + row["members"], end) - max(row["first_seed"], first) for row in complete)
    if members < sweep.members:
        return f"{max(members, 0)} of {sweep.members} members are stored ({_command(file, sweep, root)})"
    return ""


def _trials(sweep: Sweep) -> float:
    """Return how many trials a sweep has when it is done; a search may have fewer points than it wants."""
    points = math.prod(len(each.values()) or math.inf for each in sweep.space.values())
    return min(sweep.trials, points) if sweep.points() is None else sweep.trials


def _all_of(file: Path, sweep: Sweep, root: store.Root) -> str:
    return f"nothing of it is stored ({_command(file, sweep, root)})"


def _command(file: Path, sweep: Sweep, root: store.Root) -> str:
    where = [] if root == store.default_root() else ["--results", str(root)]
    return shlex.join(["prepe", "run", str(file), *where, *["--allow-imports"] * bool(sweep.imports())])


def _sql(name: str, claim: Claim) -> str:
    """Return the query for a claim's seeds and values."""
    if claim.sql is not None:
        return claim.sql
    table = "members" if claim.intervention is None else "effects"
    chosen = {"sweep": name, "variant": claim.variant, "intervention": claim.intervention}
    where = " AND ".join(f"{column} = {_quoted(value)}" for column, value in chosen.items() if value is not None)
    return f"SELECT seed, {claim.metric} AS value FROM {table} WHERE {where}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _check_columns(selected: pa.Table) -> None:
    """Raise a PrepeError unless a query gives a column of seeds and one of values."""
    names = selected.column_names
    for name, allowed in (("seed", _is_seed), ("value", _is_number)):
        if names.count(name) != 1:
            raise PrepeError(
                f"it selects {names.count(name) or 'no'} columns {name!r} among {', '.join(names)}; "
                "allowed: one column seed and one column value"
            )
        if not allowed(selected[name].type):
            kind = "whole numbers" if name == "seed" else "numbers"
            raise PrepeError(f"its column {name} holds {selected[name].type}; allowed: {kind}")


def _is_seed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind))


def _is_number(kind: pa.DataType) -> bool:
    known = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_null)
    return any(is_kind(kind) for is_kind in known)


def _judged(sweep: Sweep, claim: Claim, selected: pa.Table) -> Checked:
    values = _by_seed(selected)
    bad = int(np.isnan(values).sum())
    found = [_with_interval(claim, values, each) for each in _readings(claim)]
    value, low, high = next((each for each in found if not claim.holds(each[0])), found[0])
    verdict: Literal["holds", "fails"] = "holds" if claim.holds(value) else "fails"
    return Checked(sweep.name, claim, verdict, value, low, high, len(values), claim.turns(low, high), bad)


def _by_seed(selected: pa.Table) -> np.ndarray:
    """Return the values of a query in the order of their seeds; null is NaN.

    Raises:
        PrepeError: there is not one a seed.
    """
    seeds = selected["seed"].to_pylist()
    most, times = Counter(seeds).most_common(1)[0]
    if times > 1 or None in seeds:
        raise PrepeError(f"it selects {times} values for seed {most}; allowed: one a seed, as GROUP BY seed gives")
    values = np.array(selected["value"].cast(pa.float64()).to_pylist(), dtype=float)
    return values[np.argsort(seeds)]


def _readings(claim: Claim) -> list[Metric]:
    """Return what a bad value may count as, and which way is worse; the claim must hold of each of them.

    SQL does not say which way is worse: so it is the way that breaks the claim, and both ways can break two bounds.
    """
    if claim.metric is not None:
        return [(MEMBER_METRICS if claim.intervention is None else EFFECT_METRICS)[claim.metric]]
    low, high = claim.bounds()
    return [_LEAST] * (low is not None) + [_MOST] * (high is not None)


def _with_interval(claim: Claim, values: np.ndarray, metric: Metric) -> tuple[float, float, float]:
    """Return a claim's statistic, and the ends of its interval."""

    def found(values: np.ndarray, axis: int = -1) -> np.ndarray:
        return _statistics(claim, values, metric)

    value = float(found(values))
    if _is_extreme(claim, len(values)):
        return value, math.nan, math.nan
    return (value, *interval(values, found)) if len(values) > 1 else (value, -math.inf, math.inf)


def _is_extreme(claim: Claim, seeds: int) -> bool:
    return claim.statistic in ("min", "max") or (claim.statistic == "worst_decile" and seeds <= _DECILE)


def _statistics(claim: Claim, values: np.ndarray, metric: Metric) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # a mean of infinities of both signs is not a number, and so the worst
        found = statistics(claim.statistic, values, metric)
    return np.where(np.isnan(found), metric.worst, found)
