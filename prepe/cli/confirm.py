"""`prepe confirm`."""

import json
import math
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pyarrow as pa
import typer

from prepe import store
from prepe.cli.app import FAILED, AllowImports, Device, Results, app
from prepe.cli.printing import count, print_csv, print_rows, to_json
from prepe.errors import PrepeError

if TYPE_CHECKING:
    from prepe.confirmation import Confirmed
    from prepe.members import Between, Shrunk

_SHORT = 8


@app.command()
def confirm(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="A searched sweep of the store, or its file.")],
    top: Annotated[int, typer.Option(min=1, help="How many of its best trials.")] = 5,
    members: Annotated[int, typer.Option(min=1, help="How many fresh seeds.")] = 64,
    first_seed: Annotated[
        int | None, typer.Option(min=0, metavar="SEED", help="The first. Default: after all that the search used.")
    ] = None,
    executor: Annotated[Literal["ray", "serial"], typer.Option(help="serial needs no Ray.")] = "ray",
    address: Annotated[str | None, typer.Option(help="A Ray cluster to join, such as auto or HOST:6379.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="At most so many trials at a time.")] = None,
    device: Device = "auto",
    allow_imports: AllowImports = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do failed trials again.")] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="Print comma-separated values: a row a trial and measure.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print these rows and all differences as JSON.")] = False,
    results: Results = None,
) -> None:
    """Train a search's best trials on fresh seeds, and see what is left of their lead.

    The best of many trials is partly the luckiest. So each is measured on seeds that the search never used, and stored
    as a sweep of its own, SWEEP-confirm; the search's rows stay as they are. `shrinkage` is the value in the search
    less the one on fresh seeds; the interval is that of a bootstrap over fresh seeds. A difference is `unresolved`
    below the band 2 sigma sqrt(1/n1 + 1/n2), and between winners also if its paired interval holds 0. Run it again:
    nothing is trained. Exit code 1 if a trial failed.

    Examples:

        prepe confirm delete-red --top 5 --members 64

        prepe confirm delete-red --executor serial --csv > confirmed.csv
    """
    if csv and as_json:
        raise PrepeError("--csv and --json: both are given; allowed: at most one")
    from prepe.confirmation import confirm as confirmed  # slow to import

    with redirect_stdout(sys.stderr) if csv or as_json else nullcontext():  # of progress
        found = confirmed(
            sweep,
            store.default_root(results),
            top=top,
            members=members,
            first_seed=first_seed,
            executor=executor,
            address=address,
            concurrency=concurrency,
            device=device,
            allow_imports=allow_imports,
            retry_failed=retry_failed,
        )
    if csv:
        print_csv(pa.Table.from_pylist([asdict(each) for each in found.shrunk]))
    elif as_json:
        print(json.dumps(to_json(asdict(found) | {"seeds": list(found.seeds)}), indent=1))
    else:
        _print(found)
    for name, error in found.failed.items():
        print(f"trial {name} failed: {error}", file=sys.stderr)
    if found.lost:
        print(f"{count(found.lost, 'trial')} lost every worker that tried; try again", file=sys.stderr)
    if found.failed or found.lost:
        raise typer.Exit(FAILED)


def _print(found: "Confirmed") -> None:
    first, last = found.seeds
    print(
        f"{found.sweep}: {count(len(found.trials), 'winner')} on seeds {first} to {last}, "
        f"stored as {found.confirmation}"
    )
    if not found.made:
        print("nothing to do: all of it was stored before")
    shown = [name[:_SHORT] for name in found.feasible]
    print(f"feasible on fresh seeds: {', '.join(shown) or 'none'}")
    moved = {each.measure for each in found.shrunk if each.shrinkage} | {
        each.measure for each in found.between if each.difference
    }
    measures = list(dict.fromkeys(each.measure for each in found.shrunk))
    for measure in [each for each in measures if each in moved]:
        print_rows([_row(each) for each in found.shrunk if each.measure == measure], measure)
    _print_differences([each for each in found.between if each.measure in moved])
    if len(moved) < len(measures):
        print(f"the same for all, in the search and on fresh seeds: {', '.join(m for m in measures if m not in moved)}")


def _print_differences(between: "list[Between]") -> None:
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for each in between:
        pair = pairs.setdefault((each.a, each.b), {"A": each.a[:_SHORT], "B": each.b[:_SHORT]})
        pair[each.measure] = _difference(each)
    if pairs:
        print_rows(list(pairs.values()), "B - A on fresh seeds; in brackets: unresolved")
        unresolved = sum(not each.resolved for each in between)
        print(f"{unresolved} of {count(len(between), 'difference')} between winners are unresolved")


def _row(each: "Shrunk") -> dict[str, Any]:
    return {
        "trial": each.trial[:_SHORT],
        "search": each.search,
        "fresh": each.fresh,
        "95 %": "" if math.isnan(each.low) else f"[{each.low:.4g}, {each.high:.4g}]",
        "shrinkage": f"{each.shrinkage:+.3g}",
        "band": each.band,
        "": "" if each.resolved else "unresolved",
    }


def _difference(each: "Between") -> str:
    text = f"{each.difference:+.3g}"
    return text if each.resolved else f"({text})"
