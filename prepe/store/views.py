"""What SQL sees of a store: views over the stored tables, in which a sweep's trials have just that sweep's members.

A view with a column `sweep` shows the last version of each sweep's file alone (see `last_version`), but for
`proposals`, which has every row. Its `variant` is the one of the file that the trial is made of, or null. What is
stored twice, as a block of seeds that two sweeps wrote at once, or a trial that two sweeps published, counts once. What
trials cost is what the blocks did that have members of the sweep. A stored table `t` is known here as `_t`.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS
from prepe.store.read import parts, read
from prepe.store.schema import SCHEMAS
from prepe.store.write import Root

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
_LAST = ("digest", "first_seed", "generation", "goals", "constraints", "busy_s", "created", "error")
_NARROW = ("proposals", "trials", "members", "stages", "effects")
"""Tables that are read whole; of the others, a query scans what it needs."""


def tables(views: Collection[str]) -> list[str]:
    """Return the stored tables that these views read."""
    return sorted(set(chain.from_iterable(NEEDS[view] for view in views)))


def create(
    con: duckdb.DuckDBPyConnection, root: Root, views: Collection[str], declared: Iterable[Mapping[str, Any]] = ()
) -> None:
    """Make these views, and those that can be had from the same tables, in a connection.

    Args:
        con: where.
        root: the store's folder.
        views: of `NEEDS`.
        declared: points of search spaces, whose parameters are fields of `params` even where no stored trial has them.

    Raises:
        PrepeError: naming a file of a needed table that is damaged, foreign or of a newer schema.
    """
    stored = tables(views)
    narrow = {table: read(root, table) for table in stored if table in _NARROW}
    for table, rows in narrow.items():
        con.register(f"_{table}", rows)
    for table in stored:
        if table not in _NARROW:
            _scan(con, root, table)
    if "proposals" in narrow:
        con.register("_proposed", _proposed(last_version(narrow["proposals"]), list(declared)))
        con.register("_metrics", _metrics())
    for view in NEEDS:
        if set(stored) >= set(NEEDS[view]):
            con.execute(f"CREATE VIEW {view} AS {_SELECT[view]}")


def _scan(con: duckdb.DuckDBPyConnection, root: Root, table: str) -> None:
    """Make a stored table known whose files are read with each query."""
    (own, _), *compacted = parts(root, table)
    if not compacted:
        con.register(f"_{table}", own)
        return
    ((rows, kept),) = compacted
    con.register(f"_{table}_own", own)
    con.register(f"_{table}_compacted", rows if kept is None else rows.filter(kept))
    con.execute(f"CREATE VIEW _{table} AS FROM _{table}_own UNION ALL FROM _{table}_compacted")


def last_version(proposals: pa.Table) -> pa.Table:
    """Keep the proposals that belong to the version of their sweep's file of which a row was written last.

    Of several rows of one proposal, as after a run into a store that others were published to, the last one is kept.
    """
    rows = proposals.select(["created", "sweep", "digest", "number", "trial"])
    rows = rows.set_column(0, "at", pc.fill_null(rows["created"].cast(pa.int64()), 0)).to_pylist()
    order = sorted(range(len(rows)), key=lambda i: rows[i]["at"])
    digest = {rows[i]["sweep"]: rows[i]["digest"] for i in order}
    last = {(rows[i]["sweep"], rows[i]["number"], rows[i]["trial"]): i for i in order}
    kept = [i for i in sorted(last.values()) if rows[i]["digest"] == digest[rows[i]["sweep"]]]
    return proposals.take(pa.array(kept, pa.int64()))


def _proposed(proposals: pa.Table, declared: list[Mapping[str, Any]]) -> pa.Table:
    """Return the proposals with their parameters as a struct, their variant, and each objective as a column."""
    rows = [dict(each or ()) for each in proposals["objectives"].to_pylist()]
    objectives = {name: pa.array([row.get(name) for row in rows], pa.float64()) for name in _keys(rows)}
    points = [json.loads(each or "{}") for each in proposals["params"].to_pylist()]
    known = [*points, *declared]
    params = pa.array(known)[: len(points)] if _keys(known) else proposals["params"]  # a struct needs a field
    names = [point.get("variant") for point in points]
    variant = pa.array([name if isinstance(name, str) else None for name in names], pa.string())
    first, following, last = ({name: proposals[name] for name in names} for names in (_FIRST, _NEXT, _LAST))
    return pa.table({**first, "variant": variant, **following, "params": params, **objectives, **last})


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


def _once(table: str, *keys: str) -> str:
    """Select a stored table's rows, each once: of those with the same keys, one of the first block."""
    return f"FROM _{table} QUALIFY row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY block) = 1"


def _of_members(table: str, *keys: str) -> str:
    """Select a table's rows of each sweep's own members, with sweep, trial, variant, member and seed in front.

    Args:
        table: its rows are known by trial, seed and `keys`.
        keys: its other columns that tell two rows apart.
    """
    ends = [name for name in ("model", "block") if name in SCHEMAS[table].names]
    return f"""
        SELECT share.sweep, t.trial, share.variant, t.seed AS member, t.seed,
               t.* EXCLUDE (trial, seed, {", ".join(ends)}), {", ".join(f"t.{name}" for name in ends)}
        FROM ({_once(table, "trial", "seed", *keys)}) t
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
        FROM ({_once("trials", "trial", "block")}) t
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
    "stages": _of_members("stages", "step", "phase"),
    "effects": _of_members("effects", "intervention"),
    "items": _of_members("items", "intervention", "set", "item"),
    "colors": "FROM items WHERE set = 'named'",
    "summaries": _SUMMARIES,
    "models": _once("models", "model", "seed"),
    "history": "FROM _history",
    "snapshots": "FROM _snapshots",
    "checkpoints": "FROM _checkpoints",
}
