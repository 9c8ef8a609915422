"""Rows in and out of Parquet: the only record of what was trained and measured.

A store is a folder with one folder a table (see `schema`); `write` adds a file, `read` gives a table, `query` runs SQL.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from prepe.store.find import proposal_named, sweep_named, trial_named
from prepe.store.provenance import git_commit, peak_mb, versions
from prepe.store.read import check_store, columns_lacked, distinct, first_block, last_version, read, sizes
from prepe.store.root import Root, absolute, default_root, is_remote, local_folder
from prepe.store.write import COMPACTED, KEYS, conform, exists, path_of, put, serialize, write

if TYPE_CHECKING:
    from prepe.store.sql import connect, mentioned, query, select

_OF_SQL = ("connect", "mentioned", "query", "select")

__all__ = [
    "COMPACTED",
    "KEYS",
    "Root",
    "absolute",
    "check_store",
    "columns_lacked",
    "conform",
    "connect",
    "default_root",
    "distinct",
    "exists",
    "first_block",
    "git_commit",
    "is_remote",
    "last_version",
    "local_folder",
    "mentioned",
    "path_of",
    "peak_mb",
    "proposal_named",
    "put",
    "query",
    "read",
    "select",
    "serialize",
    "sizes",
    "sweep_named",
    "trial_named",
    "versions",
    "write",
]


def __getattr__(name: str) -> Any:
    """Load DuckDB with the first function that needs it, since to list what a store has takes less time than that."""
    if name in _OF_SQL:
        return getattr(import_module("prepe.store.sql"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
