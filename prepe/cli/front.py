"""`prepe front`."""

from typing import Annotated

import typer

from prepe import store
from prepe.cli.app import Results, app
from prepe.cli.printing import count, print_rows


@app.command()
def front(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL", help="A trial's name or its beginning, SWEEP:VARIANT, or a SWEEP of one trial."
        ),
    ],
    by: Annotated[str, typer.Option("--by", metavar="METRIC", help="The score, of the intervention.")] = "score_r2",
    intervention: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Whose effect. Default: the file's first one.")
    ] = None,
    minimize: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC",
            help="A metric, or val:TERM; may be given several times. Default: recon_mse and val:TERM of anchors, or of "
            "subspaces where there is no anchor.",
        ),
    ] = None,
    results: Results = None,
) -> None:
    """Show the Pareto front over a trial's members: the five best, the one that is chosen and why, and a summary.

    The score is wanted high (low, if that is better) and everything else low. A member that broke counts as the worst.

    Examples:

        prepe front ex-2.9.1

        prepe front 3c952f --by score_ccc --intervention ablate --minimize recon_mse --minimize val:anchor
    """
    from prepe import members

    root = store.default_root(results)
    found = members.find(root, trial)
    result = members.front(found, by, intervention, minimize)
    of = f"of {count(len(result.seeds), 'member')} of trial {result.trial}"
    print_rows(result.rows(), f"best of {len(result.front)} on the front, {of}")
    print(f"chosen: member {result.chosen}, {result.rule}")
    print_rows(members.summary(found, result, root), f"over {count(len(result.seeds), 'member')}")
