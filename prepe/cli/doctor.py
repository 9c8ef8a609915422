"""`prepe doctor`."""

import sys
from typing import Annotated

import typer

from prepe import store
from prepe.cli.app import FAILED, Results, app
from prepe.cli.printing import count, print_rows


@app.command()
def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    results: Results = None,
) -> None:
    """Check the store: every file is read, and what is damaged, foreign, doubled or orphaned is listed.

    With --repair, such files and rows are moved to `_aside` in the store, which nothing reads, and `prepe run` makes
    what they held again. Exit code 1 if something is wrong, and with --repair, if something is left.

    Example:

        prepe doctor --repair
    """
    from prepe.store.doctor import examine

    root = store.default_root(results)
    found = examine(root, repair)
    rows = [
        {"where": each.place, "what": each.fault, "remedy": each.remedy, **({"done": each.done} if repair else {})}
        for each in found
    ]
    if rows:
        print_rows(rows, f"{count(len(rows), 'fault')} in {root}")
    left = sum(not each.done for each in found)
    if left:
        hint = "" if repair else "; prepe doctor --repair mends what it can"
        print(f"prepe: {root}: {count(left, 'fault')}{hint}", file=sys.stderr)
        raise typer.Exit(FAILED)
    print(f"{root}: all is well")
