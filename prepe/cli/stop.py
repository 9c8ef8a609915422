"""`prepe stop`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from prepe import store
from prepe.cli.app import FAILED, Results, app
from prepe.errors import PrepeError


@app.command()
def stop(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="A running sweep's name, or its file.")],
    wait_s: Annotated[float, typer.Option("--wait", min=0, help="For so many seconds at most.")] = 60,
    results: Results = None,
) -> None:
    """Stop a running sweep, wherever its driver runs; trials that have ended are stored, and `prepe run` goes on.

    It writes a request into the store, which the driver sees within seconds; one that nobody sees is taken back. Exit
    code 1 if the sweep did not stop.

    Example:

        prepe stop delete-red --results s3://my-bucket/results
    """
    from prepe.launch import presence

    root, name = store.default_root(results), Path(sweep).name.removesuffix(".toml")
    try:
        state = presence.stop(root, name, wait_s)
    except PrepeError as fault:
        print(f"prepe: {fault}", file=sys.stderr)
        raise typer.Exit(FAILED) from None
    print(f"sweep {name}: {state}. Its trials: prepe top {shlex.quote(name)}")
