"""`prepe colors`."""

import csv as comma
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prepe import store
from prepe.cli.app import Results, app
from prepe.cli.printing import UNBROKEN, new_console
from prepe.errors import PrepeError

if TYPE_CHECKING:
    from prepe.members import ItemTable

_DIGITS = 3
_BLOCK = "      "


@app.command()
def colors(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL", help="A trial's name or its beginning, SWEEP:VARIANT, or a SWEEP of one trial."
        ),
    ],
    member: Annotated[int | None, typer.Option(metavar="SEED", help="Only the member with this seed.")] = None,
    best: Annotated[bool, typer.Option("--best", help="Only the member that prepe front chooses.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values, not rounded.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table, with nine decimals.")] = False,
    results: Results = None,
) -> None:
    """Show each named item's error: at first, then under every intervention, with the difference that this makes.

    Without a member, means over all that did not break, with 95 % bootstrap intervals. Items that are colours have a
    swatch.

    Examples:

        prepe colors ex-2.4.1

        prepe colors 3c952f --best --latex > colors.tex
    """
    from prepe import members

    for given, names in (((member is not None, best), "--member and --best"), ((csv, latex), "--csv and --latex")):
        if all(given):
            raise PrepeError(f"{names}: both are given; allowed: at most one")
    root = store.default_root(results)
    found = members.find(root, trial)
    table = members.item_table(found, root, members.shown(found) if best else member)
    if csv:
        writer = comma.DictWriter(sys.stdout, table.rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.rows)
    elif latex:
        print(members.latex(table))
    else:
        console = _console()
        console.print(Text(f"trial {table.trial}, {table.says()}", style="bold"))
        for labels in _fitting(table, console):
            console.print(_laid_out(table, labels, console))


def _console() -> Console:
    """Return a console that shows colours as they are wherever it shows any."""
    console = new_console()
    colorful = console.is_terminal and console.color_system is not None and not console.no_color
    return Console(color_system="truecolor") if colorful else console


def _fitting(table: "ItemTable", console: Console) -> list[list[str]]:
    """Split the interventions into groups, each the widest table that the terminal has room for, in order."""
    groups: list[list[str]] = [[]]
    unbroken = console.options.update(width=UNBROKEN)
    for label in table.interventions:
        wider = [*groups[-1], label]
        width = console.measure(_laid_out(table, wider, console), options=unbroken).maximum
        if groups[-1] and width > console.width:
            groups.append([label])
        else:
            groups[-1] = wider
    return groups


def _laid_out(table: "ItemTable", labels: list[str], console: Console) -> Table:
    """Lay out the table of some interventions: blocks of colour on a terminal that has them, their codes elsewhere."""
    from prepe.members import number

    shown = Table(box=None, padding=(0, 1), header_style="bold")
    swatches = any(row["color"] for row in table.rows)
    shown.add_column("item")
    if swatches:
        shown.add_column("")
    columns = ["baseline", *(f"{label}.{what}" for label in labels for what in ("mse", "delta"))]
    for column in columns:
        shown.add_column(Text(column.removesuffix(".mse").replace(".delta", " delta")), justify="right", no_wrap=True)
    for row in table.rows:
        swatch = [_swatch(row, console)] if swatches else []
        shown.add_row(Text(row["item"]), *swatch, *(number(row, column, _DIGITS) for column in columns))
    return shown


def _swatch(row: dict[str, Any], console: Console) -> Text:
    color = row["color"]
    if not color:
        return Text("")
    return Text(_BLOCK, style=f"on {color}") if console.color_system == "truecolor" else Text(color)
