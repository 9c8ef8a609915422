"""A store and SQL in; an Arrow table out. The store alone can be read, and nothing can be written.

DuckDB runs in memory and sees the tables through Arrow; it is then locked, so that SQL reaches no file, no extension
and no Python variable, not even through statements that look like queries.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from prepe.errors import PrepeError
from prepe.store import files, views
from prepe.store.footer import one_line
from prepe.store.gone import Gone, while_folded
from prepe.store.patience import patiently
from prepe.store.read import check_store, dataset
from prepe.store.root import Root
from prepe.store.scan import check_rows

_LOCK = (
    "SET TimeZone = 'UTC'",
    "SET temp_directory = ''",  # a large query fails rather than spill to disk
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET python_enable_replacements = false",
    "SET enable_external_access = false",
    "SET enable_progress_bar = false",  # it would stand among the rows that a slow query prints
)
_QUERIES = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_PARTS_OF_PIVOT = (duckdb.StatementType.MULTI, duckdb.StatementType.CREATE)
_UNREADABLE = (duckdb.InvalidInputException, duckdb.IOException)  # what a scan of a damaged file raises, among others
_ALLOWED = "one query: SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, PIVOT, UNPIVOT or EXPLAIN"


def connect(
    root: Root,
    names: Collection[str] | None = None,
    declared: Iterable[Mapping[str, Any]] = (),
    trial: str | None = None,
    once: bool = False,
) -> duckdb.DuckDBPyConnection:
    """Open a store for SQL: a locked connection in memory, with the views.

    Args:
        root: the store's folder.
        names: the views to make, of `views.NEEDS`; all of them when left out. Their rows are those of now, but for
            items, models, history, snapshots, checkpoints and other large tables, whose files are read with each query.
        declared: points of search spaces, whose parameters are fields of `trials.params` even if no trial has them.
        trial: the only one whose rows are wanted.
        once: there will be one query, with which many small files are read, too.

    Raises:
        PrepeError: if there is no store, or a file of a needed table is damaged, foreign or of a newer schema.
    """
    check_store(root)
    con = duckdb.connect(":memory:")
    for statement in _LOCK:
        con.execute(statement)
    while_folded(lambda: views.create(con, root, views.NEEDS if names is None else names, declared, trial, once))
    con.execute("SET lock_configuration = true")
    return con


def query(root: Root, sql: str, trial: str | None = None) -> pa.Table:
    """Run one SQL query over a store and return its rows.

    Only the files of tables behind the views that it mentions are opened; and where the rows of one trial alone are
    wanted, those of no other are read.

    Raises:
        PrepeError: if there is no store, the statement is not a query or is wrong, or a file cannot be read.
    """
    check_store(root)
    _check_statement(sql)
    return while_folded(lambda: _look(root, sql, trial))


def _look(root: Root, sql: str, trial: str | None) -> pa.Table:
    every = list(views.NEEDS)
    names = mentioned(sql) or every
    try:
        return _run(root, sql, names, trial)
    except duckdb.CatalogException:  # a view can be reached without a mention
        names = every
    except _UNREADABLE as error:  # a file is damaged, or was replaced between two looks at it
        for table in views.tables(names):
            check_rows(dataset(root, table))
        if f"{files.opened(root)[1]}/" in str(error):
            raise Gone(one_line(error)) from error
    except duckdb.Error as error:
        raise PrepeError(_message(error)) from error
    try:
        return _run(root, sql, names, trial)
    except duckdb.Error as error:
        raise PrepeError(_message(error)) from error


def select(con: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """Run one of many SQL queries over a connection that `connect` gave, and return its rows.

    Raises:
        PrepeError: the statement is not a query, or is wrong; with the columns of the views that it mentions.
    """
    _check_statement(sql)
    try:
        return _rows(con, sql)
    except duckdb.Error as error:
        columns = [f"\ncolumns of {view}: {', '.join(con.view(view).columns)}" for view in mentioned(sql)]
        raise PrepeError(_message(error) + "".join(columns)) from error


def mentioned(sql: str) -> list[str]:
    """Return the views whose name stands in a query, whatever it means there."""
    return [view for view in views.NEEDS if re.search(rf"\b{view}\b", sql, re.IGNORECASE)]


def _run(root: Root, sql: str, names: Collection[str], trial: str | None) -> pa.Table:
    con = connect(root, names, trial=trial, once=True)
    try:
        return _rows(con, sql)
    finally:
        con.close()


def _rows(con: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    try:
        return patiently("query", "read", lambda: con.sql(sql).to_arrow_table())
    except (duckdb.BinderException, duckdb.CatalogException):
        con.execute(sql)  # fails likewise, but also says at which place
        raise


def _check_statement(sql: str) -> None:
    """Raise a PrepeError unless DuckDB's own parser sees exactly one query."""
    try:
        sql.encode()
        kinds = [statement.type for statement in duckdb.extract_statements(sql)]
    except UnicodeEncodeError as error:  # of an argument that is not UTF-8 Python keeps the bytes
        raise PrepeError(f"query: not a text in UTF-8; allowed: {_ALLOWED}") from error
    except duckdb.Error as error:
        raise PrepeError(_message(error)) from error
    if len(kinds) == 1 and kinds[0] in _QUERIES:
        return
    if kinds and kinds[0] in _PARTS_OF_PIVOT and _fits_in_brackets(sql):
        return
    found = f"{kinds[0].name} is not a query" if len(kinds) == 1 else f"there are {len(kinds)} statements"
    raise PrepeError(f"query: {found}; allowed: {_ALLOWED}")


def _fits_in_brackets(sql: str) -> bool:
    """Say whether a statement that DuckDB parses into several is a query, which alone can stand in brackets."""
    try:
        duckdb.extract_statements(f"FROM (\n{sql.rstrip().rstrip(';')}\n)")
    except duckdb.Error:
        return False
    return True


def _message(error: duckdb.Error) -> str:
    """Return what DuckDB says, down to the line with the caret, and the views that there are."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    carets = [i for i, line in enumerate(lines) if set(line.strip()) == {"^"}]
    said = "\n".join(lines[: carets[0] + 1 if carets else 4])
    return f"query: {said}\nviews: {', '.join(views.NEEDS)}"
