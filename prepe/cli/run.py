"""`prepe run`."""

import shlex
import signal
from pathlib import Path
from typing import Annotated, Literal

import pyarrow.compute as pc
import typer

from prepe import store
from prepe import sweep as sweeps
from prepe.cli.app import FAILED, STOPPED, Device, Results, app, leave
from prepe.cli.printing import count
from prepe.cli.read import print_top


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
    size = f"{count(sweep.trials, 'trial')} of {count(sweep.members, 'member')}"
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
        leave(f"stopped: {stored} of {sweep.trials} trials are stored. Go on with:\n  {again}", STOPPED)
    if queue.foreign:
        print(f"{queue.foreign} stored trials lie outside this file's space or differ from it; they are left alone")
    if queue.total < sweep.trials:
        print(f"the search found no more than {queue.total} distinct configurations")
    failed = [row for row in queue.done if row["state"] == "failed"]
    if not queue.made and not queue.lost:
        print("nothing to do: all of it was stored before")
    print_top(root, sweep.name, 5)
    _say_next(root, sweep, _command(file, {**given, "trials": 2 * sweep.trials, "members": sweep.members}))
    if queue.lost:
        lost = count(queue.lost, "trial")
        leave(f"{lost} lost every worker that tried, and no row is stored. Try again with:\n  {again}", FAILED)
    if failed:
        shown = failed[0]
        last = str(shown["error"]).strip().rsplit("\n", 1)[-1]
        leave(
            f"{len(failed)} of {len(queue.done)} trials failed, such as {shown['trial']}: {last}\n"
            f"See `prepe show {shown['trial']}`; do them again with:\n  {again} --retry-failed",
            FAILED,
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
