"""`prepe measure`."""

from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from prepe.cli.app import AllowImports, Results, app
from prepe.cli.printing import print_csv, print_rows


@app.command()
def measure(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL", help="A trial's name or its beginning, SWEEP:VARIANT, or a SWEEP of one trial."
        ),
    ],
    member: Annotated[
        int | None, typer.Option(metavar="SEED", help="The member with this seed. Default: the one that front chooses.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values, not rounded, and no path.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the figure goes. Default: figures/ there.")] = (
        None
    ),
    allow_imports: AllowImports = False,
    results: Results = None,
) -> None:
    """Look closely at one member: its errors over dense cubes of colours, and how they follow similarity.

    From its stored weights, as it was trained and under every intervention: the largest and the median error over
    240 x 48 x 48 colours (HSV); over 20 x 20 x 20 colours (RGB) Pearson's r, R2 and p value of the error with s^p, by
    the intervention's similarity s and power p (for the member as it was trained, those of the first intervention), and
    by another similarity. The figure has every one of the latter colours.

    Examples:

        prepe measure ex-2.9.1

        prepe measure 3c952f --member 7 --csv
    """
    import prepe

    done = prepe.measure(trial, member, results, out=out, allow_imports=allow_imports)
    if csv:
        print_csv(pa.Table.from_pylist(done.rows))
        return
    print_rows(
        [{**row, "intervention": row["intervention"] or "as trained"} for row in done.rows],
        f"member {done.member} of trial {done.trial}",
    )
    if done.figure:
        print(done.figure)
