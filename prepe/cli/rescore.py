"""`prepe rescore`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from prepe import custom, store
from prepe import sweep as sweeps
from prepe.cli.app import FAILED, AllowImports, Device, Results, app
from prepe.cli.printing import count, new_console
from prepe.cli.read import print_top


@app.command()
def rescore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sweep file, as sweeps/ex-2.9.1.toml.")],
    trial: Annotated[
        list[str] | None, typer.Option("--trial", metavar="TRIAL", help="Only this trial; may be given several times.")
    ] = None,
    members: Annotated[int | None, typer.Option(help="Overrides the file's number of members.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure also what is stored as it is today.")] = False,
    device: Device = "auto",
    allow_imports: AllowImports = False,
    results: Results = None,
) -> None:
    """Measure stored weights under a sweep file's present concepts and interventions; nothing is trained.

    For every trial of the sweep whose weights are stored, the rows are those that `prepe run FILE` would make. Where
    rows are of an older prepe and lack a metric, they are measured again. Exit code 1 if weights of a trial are
    missing, or a trial failed.

    Examples:

        prepe rescore sweeps/ex-2.9.1.toml

        prepe rescore sweeps/delete-red.toml --trial 3c952f --members 32
    """
    sweep = sweeps.load(file, members=members)
    custom.check_allowed(sweep.imports(), allow_imports, file)
    from prepe.launch.rescore import rescore as again_scored  # slow to import, so the file is checked before

    root = store.default_root(results)
    console = new_console()
    with console.status("") as status:
        done = again_scored(
            sweep,
            root,
            trials=trial or (),
            again=again,
            folder=file.parent,
            device=device,
            allow_imports=allow_imports,
            report=lambda i, total, name: status.update(f"trial {name}: {i + 1} of {total}"),
        )
    before = len(done.rows) - len(done.made)
    print(f"{sweep.name}: {count(len(done.made), 'trial')} measured, {before} stored before, none trained")
    if done.foreign:
        print(f"{done.foreign} stored trials lie outside this file's space; they are left alone")
    if sweep.objectives:
        print_top(root, sweep.name, 5)
    for row in done.failed:
        last = str(row["error"]).strip().rsplit("\n", 1)[-1]
        print(f"trial {row['trial']} failed: {last}", file=sys.stderr)
    for name, lacking in done.refused.items():
        print(f"trial {name} is left out: no weights of {lacking}; prepe run would train them", file=sys.stderr)
    if done.failed or done.refused:
        raise typer.Exit(FAILED)
