"""What SQL sees of a store: views over the stored tables, in which a sweep's trials have just that sweep's members.

A view with a column `sweep` shows the last version of each sweep's file alone (see `read.last_version`), but for
`proposals`, which has every row. Its `variant` is the one of the file that the trial is made of, or null. What is
stored twice, as a block of seeds that two sweeps wrote at once, or a trial that two sweeps published, counts once. What
trials cost is what the blocks did that have members of the sweep. A stored table `t` is known here as `_t`.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS
from prepe.store.footer import SHARED, Held
from prepe.store.parts import counted, held
from prepe.store.read import last_version, read, rows_of
from prepe.store.root import Root
from prepe.store.scan import of_files
from prepe.store.schema import SCHEMAS
from prepe.store.write import KEYS

if TYPE_CHECKING:
    import duckdb

NEEDS: dict[str, tuple[str, ...]] = {
    "proposals": ("proposals",),
    "trials": ("proposals", "trials"),
    "members": ("proposals", "members"),
    "stages": ("proposals", "stages"),
    "effects": ("proposals", "effects"),
    "items": ("proposals", "items"),
    "colors": ("proposals", "items"),
    "summaries": ("proposals", "members", "effects"),
    "models": ("models",),
    "history": ("history",),
    "snapshots": ("snapshots",),
    "checkpoints": ("checkpoints",),
}
"""Every view, after those that it is made of, with the stored tables that it reads."""

_FIRST = ("sweep", "trial")
_NEXT = ("number", "state", "feasible", "members")
_LAST = ("digest", "first_seed", "generation", "goals", "constraints", "rungs", "busy_s", "created", "error")
_IN_MEMORY = 200_000
"""Up to so many rows a table is read whole; of larger ones, and of those with lists in them, a query scans what it
needs."""
_FEW_FILES = 50
_WIDE = ("models", "history", "snapshots", "checkpoints", "items")
_WITH_POINTS = frozenset(("proposals", "trials"))
"""Views with the parameters and objectives of proposals, which take long to unpack."""
_OF_SHARES = ["sweep", "trial", "first_seed", "members"]
_REPEATED = {
    "members": ("trial", "block"),
    "stages": ("trial", "block"),
    "effects": ("trial", "block", "intervention", "concept", "direction", "operator", "site"),
}
"""Texts that stand in many rows of large files, which are read as dictionaries there."""
_ONCE = {
    "models": ("model", "seed"),
    "trials": ("trial", "block"),
    "members": ("trial", "seed"),
    "stages": ("trial", "seed", "step", "phase"),
    "effects": ("trial", "seed", "intervention"),
    "items": ("trial", "seed", "intervention", "set", "item"),
}
"""What tells rows of a table apart, whichever block they are of."""


def tables(views: Collection[str]) -> list[str]:
    """Return the stored tables that these views read."""
    return sorted(set(chain.from_iterable(NEEDS[view] for view in views)))


def create(
    con: "duckdb.DuckDBPyConnection",
    root: Root,
    views: Collection[str],
    declared: Iterable[Mapping[str, Any]] = (),
    trial: str | None = None,
    once: bool = False,
) -> None:
    """Make these views, and those that can be had from the same tables, in a connection.

    Args:
        con: where.
        root: the store.
        views: of `NEEDS`.
        declared: points of search spaces, whose parameters are fields of `params` even where no stored trial has them.
        trial: the only one whose rows are wanted; reading it alone is quick in any store.
        once: a single query follows, so that many files are better read with it, and then only what it needs.

    Raises:
        PrepeError: naming a file of a needed table that is damaged, foreign or of a newer schema.
    """
    stored = tables(views)
    for table in stored:
        if table != "proposals":
            _make_known(con, root, table, trial, once)
    points = bool(_WITH_POINTS & set(views))
    if "proposals" in stored:
        proposals = _proposals(root, trial, None if points else [*_OF_SHARES, "number", "digest", "params", "created"])
        if points:
            con.register("_proposals", proposals)
        con.register("_proposed", _proposed(last_version(proposals), list(declared), points))
        con.register("_metrics", _metrics())
    for view in NEEDS:
        if set(stored) >= set(NEEDS[view]) and (points or view not in _WITH_POINTS):
            con.execute(f"CREATE OR REPLACE VIEW {view} AS {_SELECT[view]}")


def _proposals(root: Root, trial: str | None, columns: list[str] | None) -> pa.Table:
    """Return the stored proposals; where one trial alone is wanted, those of the sweeps that have it."""
    if trial is None:
        return read(root, "proposals", columns=columns)
    sweeps = read(root, "proposals", columns=["sweep"], names=f"*-{trial}")["sweep"].unique()
    names = f"{sweeps[0]}-*" if len(sweeps) == 1 else "*"
    return read(root, "proposals", pc.field("sweep").isin(sweeps), columns, names)


def _make_known(con: "duckdb.DuckDBPyConnection", root: Root, table: str, trial: str | None, once: bool) -> None:
    """Make a stored table `t` known as `_t`, and as `_t_once` without what stands in it twice."""
    shared: list[str] | None = None
    if trial is not None and KEYS[table][0] == "trial":
        con.register(f"_{table}", read(root, table, pc.field("trial") == trial, names=f"{trial}-*"))
    else:
        every = held(root, table)
        rows = sum(each.rows for kind in every for each in kind)
        if table in _WIDE or rows > _IN_MEMORY or (once and len(every[0]) > _FEW_FILES):
            shared = _scan(con, root, table, every)
        else:
            con.register(f"_{table}", rows_of(counted(root, table, every)))
    if shared:
        con.register(f"_{table}_shared", pa.table({"name": pa.array(shared, pa.string())}))
    if table in _ONCE:
        con.execute(f"CREATE OR REPLACE VIEW _{table}_once AS {_once(table, shared)}")


def _scan(
    con: "duckdb.DuckDBPyConnection", root: Root, table: str, every: tuple[list[Held], list[Held], list[Held]]
) -> list[str] | None:
    """Make a stored table known whose files are read with each query.

    Returns:
        Those trials or models that may have rows in several blocks, or None for any of them.
    """
    found = counted(root, table, every)
    if not any(every[:2]):  # of files that `compact` made alone every row counts
        found = [(of_files(root, table, every[2], _REPEATED.get(table, ())), None)]
    for i, (rows, kept) in enumerate(found):
        con.register(f"_{table}_{i}", rows if kept is None else rows.filter(kept))
    rows_of_all = " UNION ALL ".join(f"FROM _{table}_{i}" for i in range(len(found)))
    con.execute(f"CREATE OR REPLACE VIEW _{table} AS {rows_of_all}")
    if table not in _WIDE:  # DuckDB knows no size of what it scans, and would hash the larger side of a join
        con.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    own, published, folded = every
    tags = [json.loads(each.tags.get(SHARED, "null")) for each in folded]
    if published or not folded or None in tags:
        return None
    return sorted({each.stem.partition("-")[0] for each in own}.union(*tags))


def _proposed(proposals: pa.Table, declared: list[Mapping[str, Any]], points: bool = True) -> pa.Table:
    """Return the proposals with their variant, and if wanted, parameters as a struct and each objective as a column."""
    texts = proposals["params"]
    if not points:
        return proposals.select(_OF_SHARES).append_column("variant", _variants(texts))
    first, following, last = ({name: proposals[name] for name in names} for names in (_FIRST, _NEXT, _LAST))
    rows = [dict(each or ()) for each in proposals["objectives"].to_pylist()]
    objectives = {name: pa.array([row.get(name) for row in rows], pa.float64()) for name in _keys(rows)}
    found = json.loads(f"[{','.join(each or '{}' for each in texts.to_pylist())}]")
    known = [*found, *declared]
    params = pa.array(known)[: len(found)] if _keys(known) else texts  # a struct needs a field
    return pa.table({**first, "variant": _variants(texts), **following, "params": params, **objectives, **last})


def _variants(params: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return the variant that each of some parameters, as JSON, names; most name none, which is quick to see."""
    written = [each.buffers()[2] for each in params.chunks if len(each)]
    if not any(each and b'"variant"' in each.to_pybytes() for each in written):  # quicker than row by row
        return pa.nulls(len(params), pa.string())
    named = pc.fill_null(pc.match_substring(params, '"variant"'), False)
    found = [json.loads(each).get("variant") for each in params.filter(named).to_pylist()]
    texts = pa.array([name if isinstance(name, str) else None for name in found], pa.string())
    return pc.replace_with_mask(pa.nulls(len(params), pa.string()), named.combine_chunks(), texts)


def _keys(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(rows)))


def _metrics() -> pa.Table:
    """Return what a broken member counts as: one row a metric of an effect, or of a member."""
    rows = [
        {"of_effect": of_effect, "metric": name, "worst": each.worst, "sign": -1.0 if each.goal == "min" else 1.0}
        for of_effect, metrics in ((True, EFFECT_METRICS), (False, MEMBER_METRICS))
        for name, each in metrics.items()
    ]
    return pa.Table.from_pylist(rows)


def _once(table: str, shared: list[str] | None) -> str:
    """Select a stored table's rows, each once: of those with the same keys, one of the first block.

    Args:
        table: its name.
        shared: trials or models that may have rows in several blocks; None for any of them.
    """
    first, *_ = keys = _ONCE[table]
    numbered = f"QUALIFY row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY block) = 1"
    if shared is None:
        return f"FROM _{table} {numbered}"
    if not shared:
        return f"FROM _{table}"
    names = f"(SELECT name FROM _{table}_shared)"
    return (
        f"FROM _{table} WHERE {first} NOT IN {names} UNION ALL FROM (FROM _{table} WHERE {first} IN {names} {numbered})"
    )


def _of_members(table: str) -> str:
    """Select a table's rows of each sweep's own members, with sweep, trial, variant, member and seed in front.

    Args:
        table: its rows are known by trial, seed and perhaps more.
    """
    ends = [name for name in ("model", "block") if name in SCHEMAS[table].names]
    return f"""
        SELECT share.sweep, t.trial, share.variant, t.seed AS member, t.seed,
               t.* EXCLUDE (trial, seed, {", ".join(ends)}), {", ".join(f"t.{name}" for name in ends)}
        FROM _{table}_once t
        JOIN (SELECT sweep, trial, min(variant) AS variant, min(first_seed) AS first_seed,
                     max(first_seed + members) AS end_seed
              FROM _proposed GROUP BY sweep, trial) share
          ON share.trial = t.trial AND t.seed >= share.first_seed AND t.seed < share.end_seed
    """


_TRIALS = f"""
    SELECT p.* EXCLUDE ({", ".join(_LAST)}), cost.* EXCLUDE (trial, first_seed, members),
           {", ".join(f"p.{name}" for name in _LAST)}
    FROM _proposed p
    LEFT JOIN (
        SELECT trial, first_seed, share.members, any_value(model) AS model, any_value(twin) AS twin,
               sum(train_s) AS train_s, sum(twin_train_s) AS twin_train_s, sum(evaluate_s) AS evaluate_s,
               sum(wall_s) AS wall_s, sum(cpu_s) AS cpu_s, max(peak_mb) AS peak_mb,
               string_agg(DISTINCT device, ', ' ORDER BY device) AS device,
               string_agg(DISTINCT cpu_capability, ', ' ORDER BY cpu_capability) AS cpu_capability,
               string_agg(DISTINCT git_commit, ', ' ORDER BY git_commit) AS git_commit
        FROM _trials_once t
        JOIN (SELECT DISTINCT trial, first_seed, members FROM _proposed) share USING (trial)
        WHERE list_min(seeds) < first_seed + share.members AND list_max(seeds) >= first_seed
        GROUP BY trial, first_seed, share.members
    ) cost ON cost.trial = p.trial AND cost.first_seed = p.first_seed AND cost.members = p.members
"""

# NaN is a broken member, which counts as the worst; null was not measured at all, and is in no summary.
_SUMMARIES = f"""
    WITH long AS (
        SELECT * FROM (
            SELECT sweep, trial, variant, intervention, {", ".join(EFFECT_METRICS)} FROM effects
        ) UNPIVOT (stored FOR metric IN ({", ".join(EFFECT_METRICS)}))
        UNION ALL BY NAME
        SELECT * FROM (
            SELECT sweep, trial, variant, NULL::VARCHAR AS intervention, {", ".join(MEMBER_METRICS)} FROM members
        ) UNPIVOT (stored FOR metric IN ({", ".join(MEMBER_METRICS)}))
    ), counted AS (
        SELECT sweep, trial, variant, intervention, long.metric, sign,
               CASE WHEN isnan(stored) THEN worst ELSE stored END AS value
        FROM long JOIN _metrics ON _metrics.metric = long.metric AND of_effect = (intervention IS NOT NULL)
    )
    SELECT sweep, trial, variant, intervention, metric, count(*) AS members,
           quantile_cont(value, 0.5) AS median, quantile_cont(value, 0.25) AS q25, quantile_cont(value, 0.75) AS q75,
           avg(value ORDER BY value) AS mean,
           CASE WHEN bool_and(isfinite(value))
                THEN stddev_samp(value ORDER BY value) FILTER (isfinite(value)) END AS sd,
           sign * list_avg(list_sort(list(sign * value))[1:ceil(count(*) / 10)::BIGINT]) AS worst_decile,
           min(value) AS min, max(value) AS max
    FROM counted GROUP BY sweep, trial, variant, intervention, metric, sign
"""

_SELECT: dict[str, str] = {
    "proposals": "FROM _proposals",
    "trials": _TRIALS,
    "members": _of_members("members"),
    "stages": _of_members("stages"),
    "effects": _of_members("effects"),
    "items": _of_members("items"),
    "colors": "FROM items WHERE set = 'named'",
    "summaries": _SUMMARIES,
    "models": "FROM _models_once",
    "history": "FROM _history",
    "snapshots": "FROM _snapshots",
    "checkpoints": "FROM _checkpoints",
}
