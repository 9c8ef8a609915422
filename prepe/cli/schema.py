"""`prepe schema`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from prepe.cli.app import app
from prepe.errors import PrepeError


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write a file instead.")] = None,
) -> None:
    """Print the JSON schema of sweep files, by which editors check and complete them.

    For Taplo (Even Better TOML), begin a sweep file with the line `#:schema ./sweep.schema.json`.

    Examples:

        prepe schema --out sweep.schema.json
    """
    from prepe.sweep_schema import sweep_schema

    text = json.dumps(sweep_schema(), indent=1) + "\n"
    if out is None:
        print(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PrepeError(f"--out {out}: cannot be written: {error.strerror}") from None
    print(f"schema in {out}")
