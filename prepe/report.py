"""Stored rows in; the tables and figures that a person reads out. Neither torch nor Ray."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from prepe import store
from prepe.errors import PrepeError

Row = dict[str, Any]


def ls(results: Path) -> list[Row]:
    """List a store's sweeps: trials complete, feasible and failed, members of each, and the best first objective."""
    store.check_store(results)
    rows = [_opened(row) for row in store.read(results, "proposals").to_pylist()]
    listed = []
    for name in sorted({row["sweep"] for row in rows}):
        own = [row for row in rows if row["sweep"] == name]
        best = _ordered(own)[0]
        first = next(iter(best["objectives"]), None)
        listed.append(
            {
                "sweep": name,
                "complete": sum(row["state"] == "complete" for row in own),
                "feasible": sum(row["state"] == "complete" and row["feasible"] for row in own),
                "failed": sum(row["state"] == "failed" for row in own),
                "members": max(row["members"] for row in own),
                "best trial": best["trial"],
                "objective": first or "",
                "value": best["objectives"].get(first) if first else None,
                "last": max(row["created"] for row in own).strftime("%Y-%m-%d %H:%M"),
            }
        )
    return listed


def top(results: Path, sweep: str, n: int = 10) -> list[Row]:
    """Return a sweep's best trials: feasible ones first, then by the first objective; failed ones are left out.

    Each row has `trial`, `number`, `feasible`, `members`, `objectives` and `params`.

    Raises:
        PrepeError: the store has no such sweep.
    """
    name = store.sweep_named(results, sweep)
    rows = store.read(results, "proposals", where=pc.field("sweep") == name).to_pylist()
    ordered = [row for row in _ordered([_opened(row) for row in rows]) if row["state"] == "complete"]
    keys = ("trial", "number", "feasible", "members", "objectives", "params")
    return [{key: row[key] for key in keys} for row in ordered[:n]]


def show(results: Path, trial: str) -> Row:
    """Return what is known of a trial: its facts, specification, and every metric's statistics over members.

    Keys: `trial`, `model`, `seeds`, `spec` (as a dictionary), `proposals`, costs and provenance, `summaries` (rows with
    intervention, metric, members, median, q25, q75, worst_decile, min, max), and `errors` of failed proposals.

    Raises:
        PrepeError: the store has no such trial, or several.
    """
    facts = store.trial_named(results, trial)
    name = facts["trial"]
    columns = "intervention, metric, members, median, q25, q75, mean, sd, worst_decile, min, max"
    sql = f"SELECT DISTINCT ON (intervention, metric) {columns} FROM summaries WHERE trial = '{name}'"
    facts["summaries"] = store.query(results, f"{sql} ORDER BY intervention, metric, members DESC").to_pylist()
    facts["spec"] = json.loads(facts["spec"]) if facts["spec"] else None
    facts["errors"] = [row["error"] for row in facts["proposals"] if row["error"]]
    return facts


def tables_of(results: Path, trial: str) -> dict[str, pa.Table]:
    """Return a trial's stored rows by table."""
    facts = store.trial_named(results, trial)
    tables = {
        table: store.read(results, table, names=f"{facts['trial']}-*") for table in ("effects", "items", "members")
    }
    for table in ("history", "snapshots"):
        tables[table] = store.read(results, table, names=f"{facts['model']}-*")
    return tables


def draw_trial(results: Path, trial: str, intervention: str | None = None) -> Path:
    """Draw a trial's page from its stored rows and return the picture's path."""
    name = store.trial_named(results, trial)["trial"]
    return draw_tables(tables_of(results, name), results, name, intervention)


def draw_tables(tables: dict[str, pa.Table], results: Path, name: str, intervention: str | None = None) -> Path:
    """Draw a trial's page from rows by table, and return the path of the light picture."""
    if not len(tables["effects"]):
        raise PrepeError(f"trial {name}: it has no effects to draw")
    from prepe.figures import style  # slow to import, and tables need none of it
    from prepe.figures import trial as trial_figure

    rows = (tables[table] for table in ("effects", "items", "history", "members", "snapshots"))
    arguments = (*rows, f"Trial {name}", intervention)
    return style.save(
        lambda: trial_figure.draw(*arguments),
        results / "figures" / (f"{name}-{intervention}" if intervention else name),
        trial_figure.alt_text(*arguments),
    )


def draw_sweep(results: Path, sweep: str) -> Path:
    """Draw a sweep's page: its trials in the plane of two objectives if it is a search, else its one trial."""
    name = store.sweep_named(results, sweep)
    rows = [_opened(row) for row in store.read(results, "proposals", where=pc.field("sweep") == name).to_pylist()]
    complete = [row for row in rows if row["state"] == "complete"]
    if not complete:
        raise PrepeError(f"sweep {name}: none of its trials is complete, so there is nothing to draw")
    objectives = list(complete[-1]["goals"].items())
    if len(complete) == 1 or not objectives:
        return draw_trial(results, complete[0]["trial"])
    from prepe.figures import style
    from prepe.figures import sweep as sweep_figure

    trials = store.query(results, f"SELECT * FROM trials WHERE sweep = '{name}' ORDER BY number")
    return style.save(
        lambda: sweep_figure.draw(trials, name, objectives),
        results / "figures" / name,
        sweep_figure.alt_text(trials, name, objectives),
    )


def _opened(row: Row) -> Row:
    maps = {name: dict(row[name] or ()) for name in ("objectives", "constraints", "goals")}
    return {**row, **maps, "params": json.loads(row["params"] or "{}")}


def _ordered(rows: list[Row]) -> list[Row]:
    """Order opened proposals: complete, then feasible, then by the first objective, then by number."""

    def key(row: Row) -> tuple[bool, bool, float, int]:
        first = next(iter(row["goals"]), None)
        value = row["objectives"].get(first, float("nan")) if first else 0.0
        signed = -value if first and row["goals"][first] == "maximize" else value
        return (
            row["state"] != "complete",
            not row["feasible"],
            signed if signed == signed else float("inf"),
            row["number"],
        )

    return sorted(rows, key=key)
