"""prepe: sweeps over neural networks whose concepts sit where they were told to sit.

The verbs of the command line, one call each: `run`, `ls`, `top`, `show`, `query`, `reproduce`; and `load`, which gives
a trained member as a module with the directions of its concepts. They import what they need when they are called.
"""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prepe.errors import PrepeError

if TYPE_CHECKING:
    import pyarrow as pa

    from prepe.launch import Queue
    from prepe.reproduction import Loaded, Reproduction

try:
    __version__ = version("prepe")
except PackageNotFoundError:
    __version__ = "0+unknown"

Results = str | Path | None


def run(
    file: str | Path,
    *,
    trials: int | None = None,
    members: int | None = None,
    results: Results = None,
    **options: Any,
) -> "Queue":
    """Do what a sweep file asks for and the store does not have yet; see `prepe.launch.run` for the options.

    `trials` and `members` override the file. The rows of all ended proposals are in the result's `done`.
    """
    from prepe import launch, store, sweep

    return launch.run(sweep.load(file, trials=trials, members=members), store.default_root(results), **options)


def ls(results: Results = None) -> list[dict[str, Any]]:
    """List a store's sweeps; see `prepe.report.ls`."""
    from prepe import report, store

    return report.ls(store.default_root(results))


def top(sweep: str, n: int = 10, results: Results = None) -> list[dict[str, Any]]:
    """Return a sweep's best trials; see `prepe.report.top`."""
    from prepe import report, store

    return report.top(store.default_root(results), sweep, n)


def show(trial: str, results: Results = None) -> dict[str, Any]:
    """Return what is known of a trial; see `prepe.report.show`."""
    from prepe import report, store

    return report.show(store.default_root(results), trial)


def query(sql: str, results: Results = None) -> "pa.Table":
    """Run SQL over a store; see `prepe.store.query`."""
    from prepe import store

    return store.query(store.default_root(results), sql)


def reproduce(trial: str, results: Results = None, **options: Any) -> "Reproduction":
    """Make a stored trial again and compare; see `prepe.reproduction.reproduce` for the options."""
    from prepe import store
    from prepe.reproduction import reproduce as again

    return again(trial, store.default_root(results), **options)


def load(trial: str, member: int, results: Results = None) -> "Loaded":
    """Return a stored member as a module with its concepts' directions; see `prepe.reproduction.load`."""
    from prepe.reproduction import load as stored

    return stored(trial, member, results)


__all__ = ["PrepeError", "load", "ls", "query", "reproduce", "run", "show", "top"]
