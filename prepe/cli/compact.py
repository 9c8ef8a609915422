"""`prepe compact`."""

from typing import Annotated

import typer

from prepe import store
from prepe.cli.app import Results, app
from prepe.cli.printing import print_rows


@app.command()
def compact(
    full_mb: Annotated[
        float, typer.Option("--full-mb", min=0.001, help="What a large file has, in megabytes; it is left alone then.")
    ] = 128.0,
    results: Results = None,
) -> None:
    """Fold the store's many small files into a few large ones, which are read faster; rows stay as they are.

    Sweeps may run and others may read meanwhile. Killed at any moment, it loses nothing, and goes on the next time.

    Example:

        prepe compact --results s3://my-bucket/results
    """
    from prepe.store.compact import compact as fold

    root = store.default_root(results)
    rows = [
        {
            "table": each.table,
            "files before": each.before,
            "files": each.after,
            "rows": each.rows,
            "MB": round(each.size / 1e6, 2),
        }
        for each in fold(root, full_mb)
    ]
    print_rows(rows, f"compacted {root}")
