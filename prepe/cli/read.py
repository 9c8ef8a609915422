"""`prepe ls`, `top`, `show` and `query`: what the store holds."""

import json
import sys
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from prepe import store
from prepe.cli.app import Results, app
from prepe.cli.printing import count, new_console, plain, print_csv, print_rows, rows_of, to_json
from prepe.errors import PrepeError

_SHORT_TRIAL = 8


@app.command()
def ls(results: Results = None) -> None:
    """List the sweeps in the store, and say how much disk its tables use."""
    from prepe import report

    root = store.default_root(results)
    rows, sizes = report.ls(root), store.sizes(root)
    print_rows(rows, f"sweeps, {sum(sizes.values()) / 1e6:.1f} MB in {count(len(sizes), 'file')}")


@app.command()
def top(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's name, or its file.")],
    n: Annotated[int, typer.Option("-n", min=1, help="How many trials.")] = 10,
    results: Results = None,
) -> None:
    """Show a sweep's best trials.

    Feasible ones come first, then the order is that of the first objective.

    Example:

        prepe top delete-red -n 5
    """
    print_top(store.default_root(results), sweep, n)


def print_top(root: store.Root, sweep: str, n: int) -> None:
    """Print the best trials with their objectives, then their parameters, as many trials beside each other as fit."""
    from prepe import report

    rows = report.top(root, sweep, n)
    flat = [
        {"trial": row["trial"], "feasible": row["feasible"], "members": row["members"], **row["objectives"]}
        for row in rows
    ]
    print_rows(flat, f"best of {store.sweep_named(root, sweep)}")
    names = list(dict.fromkeys(name for row in rows for name in row["params"]))
    if not names:
        return
    room = new_console().width - max(map(len, names)) - 2
    fitting = max(1, room // (_SHORT_TRIAL + 4))
    for start in range(0, len(rows), fitting):
        shown = {row["trial"][:_SHORT_TRIAL]: row["params"] for row in rows[start : start + fitting]}
        table = [{"parameter": name, **{trial: params[name] for trial, params in shown.items()}} for name in names]
        print_rows(table, "their parameters")


@app.command()
def show(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL", help="A trial's name or its beginning, SWEEP:VARIANT, or a SWEEP of one trial."
        ),
    ],
    results: Results = None,
) -> None:
    """Show what is known of a trial.

    That is its parameters, every metric over its members, its costs, and where it was made.

    Example:

        prepe show 3c952f
    """
    from prepe import report

    facts = report.show(store.default_root(results), trial)
    made = f"model {facts['model']}, {count(len(facts['seeds']), 'member')}" if facts["seeds"] else "no members"
    print(f"trial {facts['trial']}, {made}")
    for row in facts["proposals"]:
        params = ", ".join(f"{name} = {plain(value)}" for name, value in row["params"].items())
        state = row["state"] if row["state"] == "failed" else "feasible" if row["feasible"] else "infeasible"
        print(f"in sweep {row['sweep']} as number {row['number']}: {state}{': ' * bool(params)}{params}")
    for error in facts["errors"]:
        print(error, file=sys.stderr)
    if not facts["spec"]:
        return
    columns = ("metric", "median", "q25", "q75", "worst_decile", "min", "max")
    labels = dict.fromkeys(row["intervention"] for row in facts["summaries"])
    for label in sorted(labels, key=lambda each: (each is not None, each or "")):
        rows = [{c: row[c] for c in columns} for row in facts["summaries"] if row["intervention"] == label]
        print_rows(rows, f"intervention {label}" if label else "members")
    print(
        f"trained in {facts['train_s']:.1f} s, twin in {facts['twin_train_s']:.1f} s, measured in "
        f"{facts['evaluate_s']:.1f} s, peak {facts['peak_mb']:.0f} MB, on {facts['device']} "
        f"({facts['cpu_capability']}), commit {facts['git_commit'] or 'unknown'}"
    )


@app.command()
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT over the views of the store.")],
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list of rows.")] = False,
    parquet: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a Parquet file.")] = None,
    results: Results = None,
) -> None:
    """Run SQL over the store, which alone can be read, and not written.

    Views: trials, members, stages, effects, items, colors, summaries, models, history, snapshots, checkpoints; and
    proposals, which alone has rows of older versions of sweep files. See their columns with DESCRIBE.

    Examples:

        prepe query "DESCRIBE effects"

        prepe query "SELECT trial, median(score_ccc) FROM effects GROUP BY trial ORDER BY 2 DESC LIMIT 5" --csv
    """
    if csv + as_json + (parquet is not None) > 1:
        raise PrepeError("--csv, --json and --parquet: more than one is given; allowed: at most one")
    table = _renamed(store.query(store.default_root(results), sql))
    if csv:
        print_csv(table)
    elif as_json:
        print(json.dumps([to_json(row) for row in rows_of(table)], indent=1))
    elif parquet:
        import pyarrow.parquet as pq

        try:
            pq.write_table(table, parquet)
        except (OSError, pa.ArrowException) as error:
            raise PrepeError(f"--parquet {parquet}: cannot be written: {error}") from None
        print(f"{count(len(table), 'row')} in {parquet}")
    else:
        print_rows(rows_of(table), count(len(table), "row"), table.column_names)


def _renamed(table: pa.Table) -> pa.Table:
    """Return a table in which a name that stands again has a number after it."""
    names: list[str] = []
    for name in table.column_names:
        numbers = (f"{name}_{i}" for i in range(1, len(table.column_names) + 1))
        names.append(name if name not in names else next(each for each in numbers if each not in names))
    return table.rename_columns(names)
