"""Rows in and out of Parquet: the only record of what was trained and measured.

A store is a folder with one folder a table (see `schema`); `write` adds a file, `read` gives a table, `query` runs SQL.
"""

from prepe.store.find import proposal_named, sweep_named, trial_named
from prepe.store.provenance import git_commit, peak_mb, versions
from prepe.store.query import connect, mentioned, query, select
from prepe.store.read import check_store, columns_lacked, distinct, first_block, read, sizes
from prepe.store.root import Root, absolute, default_root, is_remote, local_folder
from prepe.store.views import last_version
from prepe.store.write import COMPACTED, KEYS, conform, exists, path_of, put, serialize, write

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
