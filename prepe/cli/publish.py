"""`prepe publish`."""

from pathlib import Path
from typing import Annotated

import typer

from prepe import store
from prepe.cli.app import Results, app
from prepe.cli.printing import print_rows


@app.command()
def publish(
    sweeps: Annotated[list[str], typer.Argument(metavar="SWEEP...", help="Sweeps' names, or their files.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The store to copy to; made if need be.")],
    max_mb: Annotated[float, typer.Option("--max-mb", min=0, help="How large a file may be, in megabytes.")] = 2.0,
    figures: Annotated[
        str,
        typer.Option(
            metavar="PATTERN", help="Which figures to copy, by their files' names; '' for none. A sweep must have one."
        ),
    ] = "*",
    results: Results = None,
) -> None:
    """Copy sweeps to another store: one small file a table, in place of what was published of them before.

    Copied are the rows of the last version of a sweep's file, with weights, and its figures; no history, snapshots or
    checkpoints. The other store is read like any, with --results DIR.

    Example:

        prepe publish ex-1.7 ex-2.9.1 --to published
    """
    from prepe import publication

    rows = [
        {
            "sweep": each.sweep,
            "trials": each.trials,
            "members": each.members,
            "files": len(each.files),
            "kB": round(sum(each.files.values()) / 1e3),
            "largest kB": round(max(each.files.values()) / 1e3),
            "items left out, too large": ", ".join(each.left_out),
        }
        for each in publication.publish(sweeps, to, store.default_root(results), max_mb, figures)
    ]
    print_rows(rows, f"published to {to}")
