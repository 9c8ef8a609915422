"""Rows in and out of Parquet: the only record of what was trained and measured.

A store is a folder with one folder a table (see `schema`); `write` adds a file, `read` gives a table, `query` runs SQL.
"""

from prepe.store.find import sweep_named, trial_named
from prepe.store.provenance import git_commit, peak_mb, versions
from prepe.store.query import connect, query
from prepe.store.read import check_store, read
from prepe.store.root import default_root
from prepe.store.write import conform, exists, write

__all__ = [
    "check_store",
    "conform",
    "connect",
    "default_root",
    "exists",
    "git_commit",
    "peak_mb",
    "query",
    "read",
    "sweep_named",
    "trial_named",
    "versions",
    "write",
]
