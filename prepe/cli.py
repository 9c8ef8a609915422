"""The command line: parse, call, print. One verb a function, and each verb is one call from Python."""

import json
import math
import shlex
import signal
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prepe import __version__, store
from prepe import sweep as sweeps
from prepe.errors import PrepeError

if TYPE_CHECKING:
    from prepe.reproduction import Reproduction

app = typer.Typer(
    name="prepe",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Sweeps over neural networks whose concepts sit where they were told to sit.",
)
_FAILED, _BAD_INPUT, _STOPPED = 1, 2, 130
_UNBROKEN = 1_000_000
_SHORT_TRIAL = 8

Results = Annotated[
    Path | None,
    typer.Option("--results", metavar="DIR", help="The store. Default: $PREPE_RESULTS, else results/."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]


def main() -> None:
    """Run the command line: a user's error is one message and exit code 2, Ctrl-C is exit code 130."""
    try:
        app()
    except PrepeError as error:
        _leave(f"prepe: {error}", _BAD_INPUT)
    except KeyboardInterrupt:
        _leave("prepe: stopped", _STOPPED)
    except BrokenPipeError:
        sys.stderr.close()


def _leave(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)


def _console() -> Console:
    """Return a console that does not break a table's lines when it is written to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=_UNBROKEN)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and leave.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sweep file, such as sweeps/delete-red.toml.")],
    trials: Annotated[int | None, typer.Option(help="Overrides the file's number of trials.")] = None,
    members: Annotated[int | None, typer.Option(help="Overrides the file's number of members.")] = None,
    executor: Annotated[Literal["ray", "serial"], typer.Option(help="serial needs no Ray.")] = "ray",
    address: Annotated[str | None, typer.Option(help="A Ray cluster to join, such as auto or HOST:6379.")] = None,
    device: Device = "auto",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do failed trials again.")] = False,
    results: Results = None,
) -> None:
    """Do what a sweep file asks for and the store does not have yet.

    Run it again to go on after a stop; raise --trials to add to a finished sweep, --members to add members to every
    trial.

    Examples:

        prepe run sweeps/ex-2.9.1.toml

        prepe run sweeps/delete-red.toml --trials 200 --members 32
    """
    root = store.default_root(results)
    sweep = sweeps.load(file, trials=trials, members=members)
    from prepe import launch  # slow to import, so the file is checked before

    print(f"{sweep.name}: {sweep.question}")
    size = f"{_count(sweep.trials, 'trial')} of {_count(sweep.members, 'member')}"
    print(f"{size}, results in {root}", flush=True)
    given: dict[str, object] = {
        "trials": trials,
        "members": members,
        "executor": executor if executor != "ray" else None,
        "address": address,
        "device": device if device != "auto" else None,
        "results": results,
    }
    again = _command(file, given)
    try:
        queue = launch.run(sweep, root, executor=executor, address=address, device=device, retry_failed=retry_failed)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed twice is pressed once
        stored = len(store.read(root, "proposals", pc.field("sweep") == sweep.name, names=f"{sweep.name}-*"))
        _leave(f"stopped: {stored} of {sweep.trials} trials are stored. Go on with:\n  {again}", _STOPPED)
    if queue.foreign:
        print(f"{queue.foreign} stored trials lie outside this file's space or differ from it; they are left alone")
    if queue.total < sweep.trials:
        print(f"the search found no more than {queue.total} distinct configurations")
    failed = [row for row in queue.done if row["state"] == "failed"]
    if not queue.made and not queue.lost:
        print("nothing to do: all of it was stored before")
    _print_top(root, sweep.name, 5)
    _say_next(root, sweep, _command(file, {**given, "trials": 2 * sweep.trials, "members": sweep.members}))
    if queue.lost:
        lost = _count(queue.lost, "trial")
        _leave(f"{lost} lost every worker that tried, and no row is stored. Try again with:\n  {again}", _FAILED)
    if failed:
        shown = failed[0]
        last = str(shown["error"]).strip().rsplit("\n", 1)[-1]
        _leave(
            f"{len(failed)} of {len(queue.done)} trials failed, such as {shown['trial']}: {last}\n"
            f"See `prepe show {shown['trial']}`; do them again with:\n  {again} --retry-failed",
            _FAILED,
        )


def _command(file: Path, given: dict[str, object]) -> str:
    """Return the command that runs a file with these options, of which those that are None are left out."""
    options = [[f"--{name}", str(value)] for name, value in given.items() if value is not None]
    return shlex.join(["prepe", "run", str(file), *(word for option in options for word in option)])


def _say_next(root: Path, sweep: sweeps.Sweep, more: str) -> None:
    """Draw the sweep's figure and name the commands that a user would want next."""
    from prepe import report

    best = report.top(root, sweep.name, 1)
    if not best:
        return
    where = "" if root == store.default_root() else f" --results {shlex.quote(str(root))}"
    name = best[0]["trial"]
    print(f"figure: {report.draw_sweep(root, sweep.name)}")
    print("next:")
    print(f"  prepe show {name}{where}")
    print(f"  prepe reproduce {name}{where}")
    if sweep.search:
        print(f"  {more}")
    sql = f"SELECT seed, intervention, score_r2, score_ccc, collateral_p95 FROM effects WHERE trial = '{name}'"
    print(f'  prepe query "{sql} ORDER BY intervention, score_ccc"{where}')


@app.command()
def ls(results: Results = None) -> None:
    """List the sweeps in the store."""
    from prepe import report

    _print_rows(report.ls(store.default_root(results)), "sweeps")


@app.command()
def top(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's name, or its file.")],
    n: Annotated[int, typer.Option("-n", min=1, help="How many trials.")] = 10,
    results: Results = None,
) -> None:
    """Show a sweep's best trials: feasible ones first, then by the first objective.

    Example:

        prepe top delete-red -n 5
    """
    _print_top(store.default_root(results), sweep, n)


def _print_top(root: Path, sweep: str, n: int) -> None:
    """Print the best trials with their objectives, then their parameters, as many trials beside each other as fit."""
    from prepe import report

    rows = report.top(root, sweep, n)
    flat = [
        {"trial": row["trial"], "feasible": row["feasible"], "members": row["members"], **row["objectives"]}
        for row in rows
    ]
    _print_rows(flat, f"best of {store.sweep_named(root, sweep)}")
    names = list(dict.fromkeys(name for row in rows for name in row["params"]))
    if not names:
        return
    room = _console().width - max(map(len, names)) - 2
    fitting = max(1, room // (_SHORT_TRIAL + 4))
    for start in range(0, len(rows), fitting):
        shown = {row["trial"][:_SHORT_TRIAL]: row["params"] for row in rows[start : start + fitting]}
        table = [{"parameter": name, **{trial: params[name] for trial, params in shown.items()}} for name in names]
        _print_rows(table, "their parameters")


@app.command()
def show(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="A trial's name, or its first four digits or more.")],
    results: Results = None,
) -> None:
    """Show what is known of a trial: parameters, every metric over its members, costs, where it was made.

    Example:

        prepe show 3c952f
    """
    from prepe import report

    facts = report.show(store.default_root(results), trial)
    made = f"model {facts['model']}, {_count(len(facts['seeds']), 'member')}" if facts["seeds"] else "no members"
    print(f"trial {facts['trial']}, {made}")
    for row in facts["proposals"]:
        params = ", ".join(f"{name} = {_plain(value)}" for name, value in row["params"].items())
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
        _print_rows(rows, f"intervention {label}" if label else "members")
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

    Views: trials, members, effects, items, colors, summaries, models, history, snapshots, proposals. See their columns
    with DESCRIBE.

    Examples:

        prepe query "DESCRIBE effects"

        prepe query "SELECT trial, median(score_ccc) FROM effects GROUP BY trial ORDER BY 2 DESC LIMIT 5" --csv
    """
    if csv + as_json + (parquet is not None) > 1:
        raise PrepeError("--csv, --json and --parquet: more than one is given; allowed: at most one")
    table = _renamed(store.query(store.default_root(results), sql))
    if csv:
        _print_csv(table)
    elif as_json:
        print(json.dumps([_json(row) for row in _rows(table)], indent=1))
    elif parquet:
        import pyarrow.parquet as pq

        try:
            pq.write_table(table, parquet)
        except (OSError, pa.ArrowException) as error:
            raise PrepeError(f"--parquet {parquet}: cannot be written: {error}") from None
        print(f"{_count(len(table), 'row')} in {parquet}")
    else:
        _print_rows(_rows(table), _count(len(table), "row"), table.column_names)


def _renamed(table: pa.Table) -> pa.Table:
    """Return a table in which a name that stands again has a number after it."""
    names: list[str] = []
    for name in table.column_names:
        numbers = (f"{name}_{i}" for i in range(1, len(table.column_names) + 1))
        names.append(name if name not in names else next(each for each in numbers if each not in names))
    return table.rename_columns(names)


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist(maps_as_pydicts="lossy")
    return rows


@app.command()
def reproduce(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="A trial's name, or its first four digits or more.")],
    member: Annotated[int | None, typer.Option(help="Only the member with this seed.")] = None,
    from_weights: Annotated[bool, typer.Option("--from-weights", help="Measure stored weights; no training.")] = False,
    device: Device = "auto",
    figure: Annotated[bool, typer.Option(help="Draw the figure.")] = True,
    results: Results = None,
) -> None:
    """Make a stored trial again here, without Ray, and compare every metric with the stored rows.

    On the processor capability, device and torch of the stored rows the two must be equal bit for bit; elsewhere their
    distributions over members are compared. Exit code 1 if they disagree.

    Examples:

        prepe reproduce 3c952f

        prepe reproduce 3c952f --member 7

        prepe reproduce 3c952f --from-weights
    """
    from prepe.reproduction import reproduce as again

    console = _console()
    with console.status("") as status:

        def step(doing: str, done: int, total: int) -> None:
            status.update(f"{doing}: step {done} of {total}")

        made = again(
            trial,
            store.default_root(results),
            member=member,
            from_weights=from_weights,
            device=device,
            figure=figure,
            step_report=step,
        )
    rows = [
        {
            "intervention": each.intervention or "",
            "metric": each.metric,
            "largest difference": each.largest,
            "shift in standard errors": each.shift_se,
        }
        for each in sorted(made.differences, key=lambda each: -each.largest)[:10]
    ]
    _print_rows(rows, f"largest differences of trial {made.trial}, {_count(len(made.seeds), 'member')}")
    worst = made.largest
    where = f"{worst.intervention}.{worst.metric}" if worst.intervention else worst.metric
    print(f"{len(made.differences)} metrics compared; largest difference {worst.largest:.3g} ({where})")
    print(_verdict(made))
    if made.figure:
        print(f"figure: {made.figure}")
    if not made.agrees:
        raise typer.Exit(_FAILED)


def _verdict(made: "Reproduction") -> str:
    if made.how == "exact":
        return "reproduced bit for bit" if made.agrees else "NOT reproduced: it should be equal bit for bit, and is not"
    if made.how == "tolerance":
        if made.agrees:
            return "stored weights measure the same, to 1e-5"
        return "NOT reproduced: stored weights measure otherwise"
    if len(made.seeds) == 1:
        return f"made elsewhere ({made.why}), and one member has no distribution to compare"
    outcome = "the means agree within 3 standard errors" if made.agrees else "NOT reproduced: means differ"
    return f"made elsewhere ({made.why}), so distributions over members are compared: {outcome}"


def _print_rows(rows: list[dict[str, Any]], title: str, columns: list[str] | None = None) -> None:
    """Print rows as a table, or one below the other where a terminal is too narrow for that."""
    console = _console()
    names = columns or list(dict.fromkeys(name for row in rows for name in row))
    console.print(Text(title if names else f"{title}: none", style="bold"))
    for break_after in ("", "."):
        table = _table(rows, names, break_after)
        if console.measure(table, options=console.options.update(width=_UNBROKEN)).maximum <= console.width:
            console.print(table)
            return
    for row in rows:
        table = Table(box=None, padding=(0, 1), show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name in names:
            table.add_row(Text(name), Text(_plain(row.get(name))))
        console.print(table, "")


def _table(rows: list[dict[str, Any]], names: list[str], break_after: str) -> Table:
    """Lay rows out; headers may be broken after a character."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in names:
        numeric = any(isinstance(row.get(name), int | float | Decimal) for row in rows)
        header = name.replace(break_after, f"{break_after}\n") if break_after else name
        table.add_column(Text(header), justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(Text(_plain(row.get(name))) for name in names))
    return table


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value + 0.0:.4g}"  # no -0
    return str(value)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _print_csv(table: pa.Table) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in _rows(table):
        writer.writerow([json.dumps(_json(v)) if isinstance(v, list | dict) else v for v in row.values()])


def _json(value: Any) -> Any:
    """Return a value of a row in JSON's own terms, which have no number that is not finite."""
    if isinstance(value, dict):
        return {str(key): _json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_json(each) for each in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)


if __name__ == "__main__":
    main()
