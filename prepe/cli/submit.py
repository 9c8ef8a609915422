"""`prepe run --submit`: sweep files handed over to a cluster."""

import shlex
import sys
from pathlib import Path
from typing import Any

import typer

from prepe.cli.app import STOPPED, leave
from prepe.errors import PrepeError

_NOT_THERE = ("address", "executor", "results")


def submit(address: str, files: dict[Path, list[str]], given: dict[str, Any]) -> None:
    """Submit sweep files as a job, follow its log, and leave with its exit code; Ctrl-C leaves the job running.

    Args:
        address: of the cluster's dashboard.
        files: each with its user's own functions.
        given: options of `prepe run`, by name without dashes; None, where one was not given.
    """
    from prepe.launch import submit as launch

    for name in _NOT_THERE[:2]:
        if given.get(name) is not None:
            raise PrepeError(f"--{name}: {given[name]} does not go with --submit; allowed: one of the two")
    options = [
        word
        for name, values in given.items()
        for value in (values if isinstance(values, list) else [values])
        if value is not None and name not in _NOT_THERE
        for word in (f"--{name}", *([] if value is True else [str(value)]))
    ]
    results = given.get("results")
    job = launch.submit(address, files, options, None if results is None else str(results))
    store = f" --results {shlex.quote(job.results)}"
    watch = "".join(f"\n  prepe watch {shlex.quote(file.stem)}{store}" for file in files)
    stop = "".join(f"\n  prepe stop {shlex.quote(file.stem)}{store}" for file in files)
    log = f"\n  ray job logs {job.name} --follow --address {shlex.quote(job.address)}"
    print(f"job {job.name} is submitted. Ctrl-C leaves it running; its log:", flush=True)
    try:
        code = job.follow()
    except PrepeError as fault:
        raise PrepeError(f"{fault}. Follow it with:{watch}{log}\nStop it with:{stop}") from None
    except KeyboardInterrupt:
        leave(f"\nthe job goes on. Follow it with:{watch}{log}\nStop it with:{stop}", STOPPED)
    if code:
        print(f"job {job.name} ended with code {code}", file=sys.stderr)
        raise typer.Exit(code)
