"""`prepe rm`."""

from contextlib import nullcontext
from typing import Annotated

import typer

from prepe import store
from prepe.cli.app import FAILED, Results, app
from prepe.cli.printing import count


@app.command()
def rm(
    name: Annotated[
        str, typer.Argument(metavar="SWEEP|TRIAL", help="A sweep's name, or a trial's, or the beginning of that.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    results: Results = None,
) -> None:
    """Remove a sweep or a trial from the store, with its models; those that other sweeps use stay.

    Examples:

        prepe rm delete-red

        prepe rm 3c952f --yes
    """
    from prepe.launch.lock import sole_driver
    from prepe.store.removal import plan, remove

    root = store.default_root(results)
    planned = plan(root, name)
    kept = f"; kept: {count(len(planned.kept), 'trial')} that other sweeps have too" if planned.kept else ""
    what = "trial" if planned.trials == [planned.name] else "sweep"
    said = (
        f"{what} {planned.name}: {count(len(planned.trials), 'trial')} and {count(len(planned.models), 'model')}{kept}"
    )
    if not yes and not typer.confirm(f"{said}. Remove them from {root}?"):
        raise typer.Exit(FAILED)
    with sole_driver(root, planned.name) if what == "sweep" else nullcontext():
        gone = remove(root, planned)
    print(f"removed {said}: {count(sum(gone.values()), 'row')}")
