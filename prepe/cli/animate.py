"""`prepe animate`."""

from pathlib import Path
from typing import Annotated

import typer

from prepe import store
from prepe.cli.app import AllowImports, Device, Results, app


@app.command()
def animate(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="A trial's name, or its first four digits or more.")],
    member: Annotated[int | None, typer.Option(help="The member with this seed, if not the first one.")] = None,
    stored: Annotated[bool, typer.Option("--stored", help="Show stored snapshots; no training.")] = False,
    fps: Annotated[int, typer.Option(min=1, max=120, help="Pictures a second.")] = 30,
    light: Annotated[bool, typer.Option("--light", help="On a light page.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where it goes. Default: figures/ there.")] = None,
    device: Device = "auto",
    allow_imports: AllowImports = False,
    results: Results = None,
) -> None:
    """Make a film (MP4) of one member's latents through its training, beside its schedule and its losses.

    The member is trained again for it, as snapshots are stored at a few steps alone. It needs an optional dependency:
    pip install 'prepe[animation]'.

    Examples:

        prepe animate 3c952f

        prepe animate 3c952f --member 7 --light

        prepe animate 3c952f --stored --fps 10
    """
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from prepe.cli.printing import new_console
    from prepe.figures.animation import check_available

    check_available()  # before anything slow is imported
    from prepe.replay import animate as film

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), console=new_console(), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def step(doing: str, done: int, total: int) -> None:
            if doing not in tasks:
                tasks[doing] = progress.add_task(doing, total=total)
            progress.update(tasks[doing], completed=done)

        path = film(
            trial,
            store.default_root(results),
            member=member,
            stored=stored,
            out=out,
            fps=fps,
            dark=not light,
            device=device,
            allow_imports=allow_imports,
            report=step,
        )
    print(path)
