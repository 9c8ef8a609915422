"""`prepe reproduce`."""

from typing import TYPE_CHECKING, Annotated

import typer

from prepe import store
from prepe.cli.app import FAILED, AllowImports, Device, Results, app
from prepe.cli.printing import count, new_console, print_rows

if TYPE_CHECKING:
    from prepe.reproduction import Reproduction


@app.command()
def reproduce(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="A trial's name, or its first four digits or more.")],
    member: Annotated[int | None, typer.Option(help="Only the member with this seed.")] = None,
    from_weights: Annotated[bool, typer.Option("--from-weights", help="Measure stored weights; no training.")] = False,
    device: Device = "auto",
    figure: Annotated[bool, typer.Option(help="Draw the figure.")] = True,
    allow_imports: AllowImports = False,
    results: Results = None,
) -> None:
    """Make a stored trial again here, without Ray, and compare every metric with the stored rows.

    On the processor capability, device and torch of the stored rows the two must be equal bit for bit; elsewhere their
    distributions over members are compared. Exit code 1 if they disagree. Functions of your own are found in the
    working folder, or where Python finds modules.

    Examples:

        prepe reproduce 3c952f

        prepe reproduce 3c952f --member 7

        prepe reproduce 3c952f --from-weights
    """
    from prepe.reproduction import reproduce as again

    console = new_console()
    with console.status("") as status:

        def step(doing: str, done: int, total: int) -> None:
            status.update(f"{doing}: step {done} of {total}")

        made = again(
            trial,
            store.default_root(results),
            member=member,
            from_weights=from_weights,
            device=device,
            figure=figure,
            allow_imports=allow_imports,
            step_report=step,
        )
    rows = [
        {
            "intervention": each.intervention or "",
            "metric": each.metric,
            "largest difference": each.largest,
            "shift in standard errors": each.shift_se,
        }
        for each in sorted(made.differences, key=lambda each: -each.largest)[:10]
    ]
    print_rows(rows, f"largest differences of trial {made.trial}, {count(len(made.seeds), 'member')}")
    worst = made.largest
    where = f"{worst.intervention}.{worst.metric}" if worst.intervention else worst.metric
    print(f"{len(made.differences)} metrics compared; largest difference {worst.largest:.3g} ({where})")
    print(_verdict(made))
    if made.figure:
        print(f"figure: {made.figure}")
    if not made.agrees:
        raise typer.Exit(FAILED)


def _verdict(made: "Reproduction") -> str:
    if made.how == "exact":
        return "reproduced bit for bit" if made.agrees else "NOT reproduced: it should be equal bit for bit, and is not"
    if made.how == "tolerance":
        if made.agrees:
            return "stored weights measure the same, to 1e-5"
        return "NOT reproduced: stored weights measure otherwise"
    if len(made.seeds) == 1:
        return f"made elsewhere ({made.why}), and one member has no distribution to compare"
    outcome = "the means agree within 3 standard errors" if made.agrees else "NOT reproduced: means differ"
    return f"made elsewhere ({made.why}), so distributions over members are compared: {outcome}"
