"""`prepe diff`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import typer

from prepe import store
from prepe.cli.app import Results, app
from prepe.cli.printing import count, new_console, print_csv, print_rows, to_json
from prepe.errors import PrepeError

if TYPE_CHECKING:
    from prepe.members import Members, Paired

_WHICH = "A trial's name or its beginning, SWEEP:VARIANT, or a SWEEP of one trial."
_WIDE = 100


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=_WHICH)],
    b: Annotated[str, typer.Argument(metavar="B", help=_WHICH)],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="M", help="Only this metric; may be given several times.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list of rows.")] = False,
    results: Results = None,
) -> None:
    """Compare two trials on equal seeds: paired differences B - A, with 95 % bootstrap intervals.

    Every metric that both have is compared, of members and of interventions of the same label; a member that broke
    counts as the worst. The verdict is about B, and `unresolved` where the interval of the mean holds 0. Of many
    metrics that do not differ, about one in twenty is resolved by chance.

    Examples:

        prepe diff 3c952f 9a01be

        prepe diff ex-2.3:sigmoid ex-2.3:linear --metric recon_mse
    """
    from prepe import members

    if csv and as_json:
        raise PrepeError("--csv and --json: both are given; allowed: at most one")
    root = store.default_root(results)
    first, second = members.find(root, a), members.find(root, b)
    found = members.diff(first, second, metric)
    rows = [asdict(each) for each in found]
    if csv:
        print_csv(pa.Table.from_pylist(rows))
    elif as_json:
        print(json.dumps([to_json(row) for row in rows], indent=1))
    else:
        print(f"A is {_called(first)}, B is {_called(second)}; B - A over {count(found[0].seeds, 'common seed')}")
        for place in dict.fromkeys(each.intervention for each in found):
            shown = [_shown(each) for each in found if each.intervention == place]
            print_rows(shown, f"intervention {place}" if place else "members")


def _called(each: "Members") -> str:
    return each.trial if each.trial.startswith(each.name) else f"{each.name} ({each.trial})"


def _shown(each: "Paired") -> dict[str, Any]:
    """Return a row for the terminal; the medians of A and B are left out of a narrow one."""
    medians = {"A": f"{each.a:.3g}", "B": f"{each.b:.3g}"} if new_console().width >= _WIDE else {}
    return {
        "metric": each.metric,
        **medians,
        "median": f"{each.median:+.3g}",
        "mean": f"{each.mean:+.3g}",
        "95 % of the mean": f"[{each.mean_low:+.3g}, {each.mean_high:+.3g}]",
        "B better": "" if each.b_better is None else f"{each.b_better:.0%}",
        "verdict": each.verdict,
    }
