"""`prepe publish`."""

from typing import Annotated

import typer

from prepe import store
from prepe.cli.app import Results, app
from prepe.cli.printing import print_rows


@app.command()
def publish(
    sweeps: Annotated[list[str], typer.Argument(metavar="SWEEP...", help="Sweeps' names, or their files.")],
    to: Annotated[str, typer.Option("--to", metavar="DIR", help="The store to copy to; made if need be.")],
    max_mb: Annotated[float, typer.Option("--max-mb", min=0, help="How large a file may be, in megabytes.")] = 2.0,
    figures: Annotated[
        str,
        typer.Option(
            metavar="PATTERN", help="Which figures to copy, by their files' names; '' for none. A sweep must have one."
        ),
    ] = "*",
    whole: Annotated[
        bool, typer.Option("--whole", help="Copy history, snapshots and checkpoints too, of whatever size.")
    ] = False,
    results: Results = None,
) -> None:
    """Copy sweeps to another store: one small file a table, in place of what was published of them before.

    Copied are the rows of the last version of a sweep's file, with weights, and its figures; no history, snapshots or
    checkpoints. The other store is read like any, with --results DIR. With --whole nothing is left out, so that the
    sweep can go on there: so is what another store has brought into one's own.

    Example:

        prepe publish ex-1.7 ex-2.9.1 --to published

        prepe publish delete-red --results s3://bucket/prefix --to results --whole
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
        for each in publication.publish(
            sweeps, store.default_root(to), store.default_root(results), max_mb, figures, whole=whole
        )
    ]
    print_rows(rows, f"published to {to}")
