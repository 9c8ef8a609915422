"""Rows of one table in; one Parquet file out, which appears whole or not at all.

A file lies at `<root>/<table>/<name>.parquet`. Its existence means that it is done, whatever was killed meanwhile, and
the folder of a table has nothing else in it; see `files`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prepe.errors import PrepeError
from prepe.store import files
from prepe.store.footer import signed
from prepe.store.root import Root, is_remote
from prepe.store.schema import SCHEMAS

KEYS: dict[str, tuple[str, ...]] = {
    "models": ("model", "block", "seed"),
    "history": ("model", "block", "step", "quantity", "name"),
    "checkpoints": ("model", "block", "seed", "step"),
    "snapshots": ("model", "block", "seed", "step", "item"),
    "trials": ("trial", "block"),
    "members": ("trial", "block", "seed"),
    "stages": ("trial", "block", "seed", "step"),
    "effects": ("trial", "block", "seed", "intervention"),
    "items": ("trial", "block", "seed", "intervention", "set", "item"),
    "proposals": ("sweep", "number", "trial"),
}
COMPACTED = ".all"
"""How the stem of a file ends that holds what once were many files; theirs are named `<trial or model>-<block>`, and
`<sweep>-<trial>` of proposals."""
_NAME = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_.-]*")


def write(root: Root, table: str, name: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> Root:
    """Write rows as one file of a table, in place of any file of the same name.

    Args:
        root: the store; a folder is made when it does not exist, a bucket is not.
        table: a name in `schema.SCHEMAS`.
        name: the file's stem: letters, digits, `-`, `_` and `.`, of which the last two not in front.
        rows: mappings from column to value (a map column takes a mapping too), or an Arrow table. Columns that are left
            out become null, but those in `KEYS` must be there in every row. No rows at all make an empty file.

    Returns:
        The path of the file, or its URI.

    Raises:
        PrepeError: if the name is not one for a file, or the file cannot be written; nothing is left behind.
        ValueError: if the rows do not fit the table, which is the caller's mistake.
    """
    path_of(root, table, name)  # a wrong name is said before wrong rows
    return put(root, table, name, serialize(table, rows))


def serialize(
    table: str,
    rows: Sequence[Mapping[str, Any]] | pa.Table,
    tags: Mapping[str, str] | None = None,
    group_rows: int | None = None,
) -> pa.Buffer:
    """Return the content of a file of a table.

    Rows are as in `write`. Tags go into the file's footer. A reader skips, or reads, `group_rows` rows at once.
    """
    content = pa.BufferOutputStream()
    held = conform(table, rows)
    if tags:
        held = held.replace_schema_metadata({**(held.schema.metadata or {}), **tags})
    pq.write_table(
        held,
        content,
        compression="zstd",
        write_page_checksum=True,
        row_group_size=group_rows,
        use_dictionary=_repeated(held.schema),
    )
    return signed(content.getvalue())


def _repeated(schema: pa.Schema) -> list[str]:
    """Return the columns, by their path in Parquet, in which values stand again: all but those of measured numbers."""
    found = []
    for field in schema:
        if pa.types.is_map(field.type):
            found.append(f"{field.name}.key_value.key")
            if not pa.types.is_floating(field.type.item_type):
                found.append(f"{field.name}.key_value.value")
        elif not pa.types.is_floating(field.type):
            found.append(field.name)
    return found


def put(root: Root, table: str, name: str, content: pa.Buffer) -> Root:
    """Make a file of a table with content that `serialize` gave; all else is as in `write`."""
    path = path_of(root, table, name)
    files.put(root, (table, f"{name}.parquet"), content)
    return path


def exists(root: Root, table: str, name: str) -> bool:
    """Say whether a table has a file of this name, which means that it is whole."""
    path_of(root, table, name)
    return files.is_there(root, table, f"{name}.parquet")


def path_of(root: Root, table: str, name: str) -> Root:
    """Return where a file of a table lies, a path or a URI, after checking both names."""
    if table not in SCHEMAS:
        raise ValueError(f"no table {table!r}; allowed: {', '.join(SCHEMAS)}")
    if not _NAME.fullmatch(name):
        raise PrepeError(
            f"{table}: {name!r} cannot name a file of a store; allowed: letters, digits, '-', '_' and '.', "
            "of which the last two not in front"
        )
    path = files.place(root, table, f"{name}.parquet")
    return path if is_remote(root) else Path(path)


def conform(table: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> pa.Table:
    """Return rows as an Arrow table of the declared schema.

    Raises:
        ValueError: naming the column that is unknown, missing, or of another type.
    """
    schema = SCHEMAS[table]
    given = set(rows.column_names) if isinstance(rows, pa.Table) else {key for row in rows for key in row}
    unknown = sorted(given - set(schema.names))
    if unknown:
        raise ValueError(f"{table}: no such columns: {', '.join(unknown)}; allowed: {', '.join(schema.names)}")
    content = pa.table({field.name: _column(table, rows, field) for field in schema}, schema=schema)
    for key in KEYS[table]:
        if content[key].null_count:
            raise ValueError(f"{table}.{key}: missing in {content[key].null_count} of {len(content)} rows")
    return content


def _column(table: str, rows: Sequence[Mapping[str, Any]] | pa.Table, field: pa.Field) -> pa.Array | pa.ChunkedArray:
    try:
        if isinstance(rows, pa.Table):
            held = field.name in rows.column_names
            return rows[field.name].cast(field.type) if held else pa.nulls(len(rows), field.type)
        values = [row.get(field.name) for row in rows]
        if pa.types.is_integer(field.type):
            return pa.array(values).cast(field.type)  # given a type at once, Arrow would cut 1.5 down to 1
        if pa.types.is_map(field.type):
            values = [list(value.items()) if isinstance(value, Mapping) else value for value in values]
        return pa.array(values, type=field.type)
    except (pa.ArrowException, TypeError) as error:
        raise ValueError(f"{table}.{field.name}: not {field.type}: {error}") from error
