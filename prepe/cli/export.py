"""`prepe export`."""

from pathlib import Path
from typing import Annotated

import typer

from prepe import store
from prepe.cli.app import AllowImports, Results, app


@app.command()
def export(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL", help="A trial's name or its beginning, SWEEP:VARIANT, or a SWEEP of one trial."
        ),
    ],
    member: Annotated[int, typer.Option("--member", metavar="SEED", help="The member's seed.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to. Default: exports in the store.")] = None,
    intervention: Annotated[str | None, typer.Option(metavar="LABEL", help="Do this intervention to it.")] = None,
    allow_imports: AllowImports = False,
    results: Results = None,
) -> None:
    """Write a member's weights as safetensors, and beside it JSON that says what they are.

    The JSON has the training, the weights' layout, the concepts with their directions, the interventions and the
    provenance. A deletion, healed or not, is done to the weights; an intervention on activations stands in the JSON
    alone. `prepe.load_export` makes a module of the two files.

    Examples:

        prepe export 3c952f --member 7

        prepe export 3c952f --member 7 --intervention ablate --out weights
    """
    from prepe import weights

    done = weights.export(
        trial,
        member,
        store.default_root(results),
        folder=out,
        intervention=intervention,
        allow_imports=allow_imports,
    )
    print(done.weights)
    print(done.facts)
