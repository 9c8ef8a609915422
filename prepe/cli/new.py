"""`prepe new`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from prepe import scaffold
from prepe.cli.app import app


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where, as my-sweep.toml.")],
    kind: Annotated[
        scaffold.Kind, typer.Option(help="A search over sizes and weights, or one fixed configuration.")
    ] = "search",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a sweep file to begin with, which runs as it is.

    Its comments explain every section, and list what else can stand there. The file's name without `.toml` is the
    sweep's.

    Examples:

        prepe new my-sweep.toml

        prepe new my-model.toml --kind fixed
    """
    written = shlex.quote(str(scaffold.write(file, kind, force)))
    print(f"{file} is written. Next:\n  prepe run {written}\n  prepe schedule {written}")
