"""A sweep and a store in; the right to be the only driver of that sweep in that store, while this process lives."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from prepe.errors import PrepeError
from prepe.store import Root, local_folder
from prepe.store.compact import locked


@contextmanager
def sole_driver(results: Root, sweep: str) -> Iterator[None]:
    """Be the only driver of a sweep in a store while in this context; where files cannot be locked, go without.

    Of a store in a bucket, only the drivers of one user on one machine keep clear of each other so. Two on different
    machines lose no row and tear none, since each proposal is a file of its own, but may take the same numbers.

    The operating system ends the lock with the process, however that ends; so the file stays, and means nothing alone.

    Raises:
        PrepeError: another process is, or the file cannot be written.
    """
    path = local_folder(results) / "optuna" / f"{sweep}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115  closed below, after what it may raise is told apart
    except OSError as error:
        raise PrepeError(f"{path}: cannot be written: {error.strerror}") from None
    with file:
        file.seek(0)
        who = file.read()
        if not locked(file.fileno()):
            raise PrepeError(
                f"sweep {sweep}: it is being run already into {results}, by {who or 'another process'}; "
                "allowed: one run of a sweep into a store at a time"
            )
        here = f"process {os.getpid()} on {socket.gethostname()}"
        if who != here:
            file.truncate(0)
            file.write(here)
            file.flush()
        yield
