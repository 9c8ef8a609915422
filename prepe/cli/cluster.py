"""`prepe cluster`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from prepe.cli.app import FAILED, app
from prepe.cli.printing import count

cluster = typer.Typer(no_args_is_help=True, help="Files for Ray's cluster launcher.")
app.add_typer(cluster, name="cluster")


@cluster.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="As cluster.yaml, clusters/gcp.yaml.")],
    results: Annotated[
        str | None,
        typer.Option(
            "--results",
            metavar="STORE",
            help="The store that sweeps will have there. Default: the PREPE_RESULTS of its nodes.",
        ),
    ] = None,
) -> None:
    """Check cluster files without starting or asking anything; `ray up` itself has no dry run.

    Ray's schema, then what it misses: unknown keys of a node_config, a missing region or zone, minima above maxima,
    resources that are not written out, trials on the head, other versions of Ray and Python than here, an open
    dashboard, a store that workers do not see. A line a finding; exit code 1 if there is any.

    Examples:

        prepe cluster check cluster.yaml

        prepe cluster check cluster.yaml --results s3://my-bucket/results
    """
    from prepe.launch import cluster_file

    found = {file: cluster_file.check(file, results) for file in files}
    for file, lines in found.items():
        for line in lines:
            print(f"{file}: {line}")
    amiss = sum(map(len, found.values()))
    if amiss:
        print(count(amiss, "finding"), file=sys.stderr)
        raise typer.Exit(FAILED)
    print(f"{count(len(files), 'file')}: nothing found")
