"""`prepe schedule`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from prepe.cli.app import app
from prepe.cli.printing import count, print_rows
from prepe.errors import PrepeError


@app.command()
def schedule(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sweep file, or a dopesheet (.csv).")],
    at: Annotated[int | None, typer.Option(metavar="STEP", help="What holds at this step.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print a dopesheet with steps as numbers.")] = False,
    variant: Annotated[str | None, typer.Option(metavar="NAME", help="The variant, if not the first one.")] = None,
) -> None:
    """Show a schedule: its keyframes with steps as numbers, or phase, actions and all values at one step.

    Values of a search are those that it starts from. Nothing is trained, so no rule acts.

    Examples:

        prepe schedule sweeps/ex-2.9.1.toml

        prepe schedule sweeps/ex-2.9.1.toml --at 750

        prepe schedule sweeps/ex-2.9.1.toml --csv > ex-2.9.1.csv
    """
    from prepe import keyframes, timeline

    if csv and at is not None:
        raise PrepeError("--csv and --at: both are given; allowed: at most one")
    loaded = timeline.load(file, variant)
    if csv:
        print(keyframes.to_csv(loaded), end="")
        return
    if at is not None:
        _print_step(timeline.at(loaded, at, file))
    else:
        title = f"{count(loaded.steps, 'update')}, {count(len(loaded.keyframes), 'keyframe')}"
        print_rows(
            [_flat(row) for row in timeline.keyframes(loaded)], title, ["step", "phase", "actions", *loaded.names()]
        )
    if loaded.rules:
        print(f"rules may change this: {', '.join(rule.name for rule in loaded.rules)}")


def _print_step(row: dict[str, Any]) -> None:
    shown = {key: row[key] for key in ("step", "phase", "starts", "ends", "actions")}
    print_rows([shown | {"actions": ", ".join(row["actions"])}], f"step {row['step']}")
    print_rows([{"parameter": name, "value": _digits(value)} for name, value in row["values"].items()], "values")


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    values = {name: _digits(value) for name, value in row["values"].items()}
    return {"step": row["step"], "phase": row["phase"], "actions": ", ".join(row["actions"]), **values}


def _digits(value: float) -> str:
    return f"{value:.6g}"
