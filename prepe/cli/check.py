"""`prepe check`."""

import textwrap
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prepe.cli.app import FAILED, Results, app
from prepe.cli.printing import count, new_console

if TYPE_CHECKING:
    from prepe.claims import Checked

_INDENT = 9
_DIGITS = range(4, 18)


@app.command()
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help="Sweep files. Default: those of sweeps/ that have claims."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="A claim that is not run is a failure too.")] = False,
    results: Results = None,
) -> None:
    """Check the claims of sweep files on stored rows; nothing is trained.

    A line a claim: `holds`, `fails` or `not run`; its figure, with the 95 % interval of a bootstrap over seeds; what is
    asked; the claim. `unresolved`: a bound lies inside the interval, so other seeds could turn the verdict. A `min` or
    `max` is said "of these seeds": it has no interval, since another seed may always pass it. Exit code 1 if a verdict
    is not what the file says.

    Examples:

        prepe check

        prepe check sweeps/ex-1.7.toml --all
    """
    from prepe import claims

    rows = claims.check(files or None, results)
    for sweep, own in groupby(rows, key=lambda row: row.sweep):
        print(sweep)
        print_verdicts(own)
        print()
    print(_summary(rows))
    if any(row.contradicts or (every and row.verdict == "not run") for row in rows):
        raise typer.Exit(FAILED)


def print_verdicts(rows: Iterable["Checked"]) -> None:
    """Print a line a claim, broken where a terminal ends."""
    console = new_console()
    for row in rows:
        line = _line(row)
        print(textwrap.fill(line, console.width, subsequent_indent=" " * _INDENT) if console.is_terminal else line)


def _line(row: "Checked") -> str:
    claim = row.claim
    if row.verdict == "not run":
        return f"{row.verdict:<{_INDENT}}{row.missing}: {claim.says}"
    seeds = count(row.seeds, "seed")
    if row.of_these_seeds:
        over = f"of these {seeds}" if row.seeds > 1 else "of this seed"
    else:
        over = f"[{_digits(row, row.low)}, {_digits(row, row.high)}] of {seeds}"
    figure = f"{claim.statistic} {_digits(row, row.value)} {over}"
    bad = f", {count(row.bad, 'value')} not a number and counted as the worst" if row.bad else ""
    unresolved = ", unresolved" if row.unresolved else ""
    known = "" if claim.fails is None else f" (the file says that it fails: {claim.fails})"
    return f"{row.verdict:<{_INDENT}}{figure}, asked {claim.bound()}{unresolved}{bad}: {claim.says}{known}"


def _digits(row: "Checked", value: float) -> str:
    """Return a number with four digits, or as many more as show on which side of the claim's bound it is."""
    value += 0.0  # no -0
    written = (f"{value:.{digits}g}" for digits in _DIGITS)
    return next((text for text in written if row.claim.holds(float(text)) == row.claim.holds(value)), f"{value}")


def _summary(rows: list["Checked"]) -> str:
    """Return how many claims came out how, and how many not as their files say."""
    found = Counter(row.verdict for row in rows)
    parts = [f"{found[verdict]} {verdict}" for verdict in ("holds", "fails", "not run") if found[verdict]]
    amiss = sum(row.contradicts for row in rows)
    says = [f"{amiss} not as the file says"] if amiss else []
    return ": ".join([count(len(rows), "claim"), *[", ".join([*parts, *says])] * bool(rows)])
