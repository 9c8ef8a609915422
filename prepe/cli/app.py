"""The application that every verb joins, and the options that several verbs have."""

import sys
from typing import Annotated, NoReturn

import typer

from prepe import __version__
from prepe.errors import PrepeError

app = typer.Typer(
    name="prepe",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Sweeps over neural networks whose concepts sit where they were told to sit.\n\n"
    "To begin with: new, run, check, show, draw.",
)
FAILED, BAD_INPUT, STOPPED = 1, 2, 130

Results = Annotated[
    str | None,
    typer.Option(
        "--results",
        metavar="DIR",
        help="The store: a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX. Default: $PREPE_RESULTS, else results/.",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
AllowImports = Annotated[
    bool, typer.Option("--allow-imports", help="Let functions that files name be imported, which runs their modules.")
]


def answer() -> None:
    """Run the command line: a user's error is one message and exit code 2, Ctrl-C is exit code 130."""
    try:
        app()
    except PrepeError as error:
        leave(f"prepe: {error}", BAD_INPUT)
    except KeyboardInterrupt:
        leave("prepe: stopped", STOPPED)
    except BrokenPipeError:
        sys.stderr.close()


def leave(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and leave.")
    ] = False,
) -> None:
    pass
