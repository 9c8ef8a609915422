"""`prepe run`."""

import json
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pyarrow.compute as pc
import typer

from prepe import custom, store
from prepe import sweep as sweeps
from prepe.cli import submit as submitted
from prepe.cli.app import FAILED, STOPPED, AllowImports, Device, Results, app, leave
from prepe.cli.check import print_verdicts
from prepe.cli.printing import count, print_rows
from prepe.cli.read import print_top
from prepe.errors import PrepeError
from prepe.store.patience import impatient

if TYPE_CHECKING:
    from prepe.launch import Queue


@app.command()
def run(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Sweep files, as sweeps/delete-red.toml.")],
    trials: Annotated[int | None, typer.Option(help="Overrides the files' number of trials.")] = None,
    members: Annotated[int | None, typer.Option(help="Overrides the files' number of members.")] = None,
    executor: Annotated[Literal["ray", "serial"], typer.Option(help="serial needs no Ray.")] = "ray",
    address: Annotated[str | None, typer.Option(help="A Ray cluster to join, such as auto or HOST:6379.")] = None,
    submit: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Run as a job of the cluster whose dashboard is at http://HOST:8265."),
    ] = None,
    device: Device = "auto",
    allow_imports: AllowImports = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do failed trials again.")] = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Propose the same trials, however many are at work at once.")
    ] = False,
    enqueue: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JSON", help="A configuration to try first, with a value for every parameter, or a file of a list."
        ),
    ] = None,
    results: Results = None,
) -> None:
    """Do what sweep files ask for and the store does not have yet, one file after the other.

    Run it again to go on after a stop; raise --trials to add to a finished sweep, --members to add members to every
    trial. Functions of your own are found beside the file, in the working folder, or where Python finds modules. Exit
    code 1 if a trial failed, or a claim cannot be evaluated.

    Examples:

        prepe run sweeps/ex-2.9.1.toml

        prepe run sweeps/delete-red.toml --trials 200 --members 32

        prepe run sweeps/ex-1.*.toml

        prepe run sweeps/delete-red.toml --enqueue '{"lr": 0.05, "anchor": 0.1}'
    """
    root = store.default_root(results)
    loaded = {file: sweeps.load(file, trials=trials, members=members) for file in files}
    for file, sweep in loaded.items():
        custom.check_allowed(sweep.imports(), allow_imports, file)
    chosen = [point for text in enqueue or () for point in _chosen(text)]
    from prepe import claims, launch  # slow to import, so the files are checked before

    given: dict[str, Any] = {
        "trials": trials,
        "members": members,
        "executor": executor if executor != "ray" else None,
        "address": address,
        "device": device if device != "auto" else None,
        "allow-imports": allow_imports or None,
        "deterministic": deterministic or None,
        "results": results,
        "enqueue": [json.dumps(each) for each in chosen] or None,
    }
    if submit is not None:
        calls = {file: sweep.imports() for file, sweep in loaded.items()}
        submitted.submit(submit, calls, given | {"retry-failed": retry_failed or None})
        return
    summary, faults = [], False
    try:
        with launch.Session(executor, address, device, allow_imports) as session:
            for file, sweep in loaded.items():
                began = time.monotonic()
                _say_first(sweep, root)
                queue = session.run(
                    sweep,
                    root,
                    folder=file.parent,
                    retry_failed=retry_failed,
                    deterministic=deterministic,
                    chosen=chosen,
                )
                _say_done(queue, root)
                lacking = launch.unrecorded(sweep, root, queue.done)
                if lacking:
                    print(_say_unrecorded(lacking), file=sys.stderr, flush=True)
                try:
                    print_verdicts(claims.check([file], root) if sweep.claims else ())
                except PrepeError as error:  # of a claim: what was made is stored, and other files are still to be run
                    print(f"prepe: {error}", file=sys.stderr, flush=True)
                    faults = True
                if len(loaded) == 1:
                    _say_next(
                        sweep,
                        root,
                        _command(
                            [file], given | {"trials": 2 * sweep.trials, "members": sweep.members, "enqueue": None}
                        ),
                    )
                summary.append(_summary(queue, time.monotonic() - began))
                fault = _fault(queue, _command([file], given))
                if fault:
                    print(fault, file=sys.stderr, flush=True)
                    faults = True
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed twice is pressed once
        try:
            with impatient():
                stored = str(sum(_stored(sweep, root) for sweep in loaded.values()))
        except PrepeError:  # the store does not answer
            stored = "some"
        wanted = sum(sweep.trials for sweep in loaded.values())
        leave(f"stopped: {stored} of {wanted} trials are stored. Go on with:\n  {_command(files, given)}", STOPPED)
    if len(loaded) > 1:
        print_rows(summary, f"{len(loaded)} sweeps")
    if faults:
        raise typer.Exit(FAILED)


def _chosen(text: str) -> list[Any]:
    """Return the configurations that an option has: one as JSON, or those of a file.

    Raises:
        PrepeError: it is neither.
    """
    try:
        found = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PrepeError(f"--enqueue {text}: {error}; allowed: a JSON object, or a file with a list of them") from None
    points = found if isinstance(found, list) else [found]
    if not all(isinstance(each, dict) for each in points):
        raise PrepeError(f"--enqueue {text}: not of objects; allowed: a JSON object, or a file with a list of them")
    return points


def _say_first(sweep: sweeps.Sweep, root: store.Root) -> None:
    print(f"{sweep.name}: {sweep.question}")
    size = f"{count(sweep.trials, 'trial')} of {count(sweep.members, 'member')}"
    print(f"{size}, results in {root}", flush=True)


def _say_done(queue: "Queue", root: store.Root) -> None:
    """Say what came of a sweep, and draw its figure."""
    sweep = queue.sweep
    if queue.foreign:
        print(f"{queue.foreign} stored trials lie outside this file's space or differ from it; they are left alone")
    if queue.total < sweep.trials:
        print(f"the search found no more than {queue.total} distinct configurations")
    if queue.left and queue.spent:
        print(f"{queue.spent}: {len(queue.done)} of {queue.total} trials are stored; run it again to go on")
    elif not queue.made and not queue.lost:
        print("nothing to do: all of it was stored before")
    if queue.chosen and not queue.spent:
        print(f"{count(len(queue.chosen), 'chosen configuration')} found no place; allow for more with --trials")
    from prepe import launch, report

    if saved := launch.saving(sweep, queue.done):
        print(saved)
    if sweep.objectives:
        print_top(root, sweep.name, 5)
    if _complete(queue):
        print(f"figure: {report.draw_sweep(root, sweep.name)}")


def _say_unrecorded(lacking: int) -> str:
    return (
        f"{count(lacking, 'model')} {'was' if lacking == 1 else 'were'} trained before without the checkpoints or "
        "snapshots that the file asks for now, and they are missing, also in stages; to have them, train again in "
        "another store, with --results DIR"
    )


def _say_next(sweep: sweeps.Sweep, root: store.Root, more: str) -> None:
    """Name the commands that a user would want next."""
    from prepe import report

    best = report.top(root, sweep.name, 1)
    if not best:
        return
    where = "" if root == store.default_root() else f" --results {shlex.quote(str(root))}"
    name = best[0]["trial"]
    print("next:")
    print(f"  prepe show {name}{where}")
    print(f"  prepe reproduce {name}{where}{' --allow-imports' * bool(sweep.imports())}")
    if sweep.points() is None:
        print(f"  {more}")
    table, columns, order = "members", "seed, recon_mse", "recon_mse"
    if sweep.trial(sweep.start()).interventions:
        table, order = "effects", "intervention, score_ccc"
        columns = "seed, intervention, score_r2, score_ccc, collateral_p95"
    print(f"  prepe query \"SELECT {columns} FROM {table} WHERE trial = '{name}' ORDER BY {order}\"{where}")


def _summary(queue: "Queue", wall_s: float) -> dict[str, Any]:
    return {
        "sweep": queue.sweep.name,
        "trials": queue.total,
        "complete": _complete(queue),
        "made now": queue.made,
        "failed": len(queue.done) - _complete(queue),
        "lost": queue.lost,
        "seconds": round(wall_s),
    }


def _fault(queue: "Queue", again: str) -> str | None:
    """Say which trials did not go well, and how to do them again, or nothing."""
    if queue.lost:
        lost = count(queue.lost, "trial")
        return f"{lost} lost every worker that tried, and no row is stored. Try again with:\n  {again}"
    failed = [row for row in queue.done if row["error"] is not None]
    if not failed:
        return None
    name, last = failed[0]["trial"], str(failed[0]["error"]).strip().rsplit("\n", 1)[-1]
    return (
        f"{len(failed)} of {len(queue.done)} trials failed, such as {name}: {last}\n"
        f"See `prepe show {name}`; do them again with:\n  {again} --retry-failed"
    )


def _complete(queue: "Queue") -> int:
    return sum(row["state"] == "complete" for row in queue.done)


def _stored(sweep: sweeps.Sweep, root: store.Root) -> int:
    rows = store.read(root, "proposals", pc.field("sweep") == sweep.name, ["trial"], f"{sweep.name}-*")
    return len(rows["trial"].unique())


def _command(files: list[Path], given: dict[str, Any]) -> str:
    """Return the command that runs files with these options, of which those that are None are left out."""
    options = [
        [f"--{name}", *([] if value is True else [str(value)])]
        for name, values in given.items()
        for value in (values if isinstance(values, list) else [values])
        if value is not None
    ]
    return shlex.join(["prepe", "run", *map(str, files), *(word for option in options for word in option)])
