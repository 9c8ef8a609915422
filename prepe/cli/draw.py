"""`prepe draw`."""

from pathlib import Path
from typing import Annotated

import typer

from prepe import store
from prepe.cli.app import Results, app
from prepe.errors import PrepeError


@app.command()
def draw(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A sweep of the store, a trial, a sweep file or dopesheet, or ex-1.1, ex-1.1.1, ex-1.4, ex-2.1.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where figures go. Default: figures/ there.")] = None,
    contour: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Of a search: the parameters of its contour. Default: what matters most."),
    ] = None,
    results: Results = None,
) -> None:
    """Draw every figure that makes sense for something, in light and dark, with alternative text beside each.

    Of a sweep or a trial these are made from stored rows; of a file, its schedule; ex-1.1, ex-1.1.1, ex-1.4 and
    ex-2.1 need no training.

    Examples:

        prepe draw ex-1.7

        prepe draw 3c952f --out docs/figures

        prepe draw delete-red --contour peak_lr,latent_dim

        prepe draw sweeps/ex-1.6.toml

        prepe draw ex-1.1.1
    """
    from prepe import report

    pair = None if contour is None else tuple(each.strip() for each in contour.split(","))
    if pair is not None and len(pair) != 2:
        raise PrepeError(f"--contour {contour}: {len(pair)} names; allowed: two, as in --contour peak_lr,latent_dim")
    for path in report.draw(name, store.default_root(results), out, pair):
        print(path)
