"""`prepe labels`."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import typer

from prepe import store
from prepe.cli.app import Results, app
from prepe.cli.printing import print_csv, print_rows, to_json
from prepe.errors import PrepeError

if TYPE_CHECKING:
    from prepe.members import Curve

_TITLES = {
    "labels": "labels used in training",
    "missed": "share of labels missed",
    "false": "share of others given one",
}


@app.command()
def labels(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's name, or its file.")],
    label: Annotated[str | None, typer.Option(help="The label, if the data have several.")] = None,
    metric: Annotated[str, typer.Option(metavar="M", help="A score of an intervention's effect.")] = "score_ccc",
    intervention: Annotated[str | None, typer.Option(metavar="LABEL", help="Default: the first one.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values: a row a trial and curve.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the curves as JSON.")] = False,
    results: Results = None,
) -> None:
    """Show how few labels, and how noisy ones, keep 90 % of a score, in a sweep whose trials differ in that alone.

    The score is the median over members, and the clean trial's, with the most labels and no error among them, is the
    whole of it. `label_n90` is how many labels keep 90 % of it, and `noise_tol` the largest share of labels missed, and
    of false ones among the other draws, that does: interpolated, with 95 % bootstrap intervals over seeds.

    Examples:

        prepe labels labels

        prepe labels labels --metric score_r2 --csv
    """
    from prepe import members

    if csv and as_json:
        raise PrepeError("--csv and --json: both are given; allowed: at most one")
    root = store.default_root(results)
    trials = members.of_sweep(root, sweep)
    found = members.curves(trials, label, metric, intervention)
    names = {each.trial: each.name for each in trials}
    rows = {each.kind: _rows(each, names) for each in found}
    if csv:
        print_csv(pa.Table.from_pylist([{"curve": kind, **row} for kind, own in rows.items() for row in own]))
    elif as_json:
        told = [
            {"curve": each.kind, "edge": each.edge, "low": each.low, "high": each.high, "points": rows[each.kind]}
            for each in found
        ]
        print(json.dumps(to_json(told), indent=1))
    else:
        for each in found:
            print_rows(rows[each.kind], _TITLES[each.kind])
            print(each.says)


def _rows(curve: "Curve", names: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "trial": names[trial],
            "x": float(curve.x[i]),
            "false among labels": float(curve.wrong[i]),
            "median": float(curve.median[i]),
            "share": float(curve.median[i] / curve.median[0]),
        }
        for i, trial in enumerate(curve.trials)
    ]
