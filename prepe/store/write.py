"""Rows of one table in; one Parquet file out, which appears whole or not at all.

A file lies at `<root>/<table>/<name>.parquet`. It is written in `<root>/.tmp`, synced to disk and then moved; so its
existence means that it is done, whatever was killed meanwhile, and the folder of a table has nothing else in it.
"""

import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prepe.errors import PrepeError
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
_TEMPORARY = ".tmp"
_LEFT_BEHIND_S = 24 * 3600
_NAME = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_.-]*")

Root = str | os.PathLike[str]


def write(root: Root, table: str, name: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> Path:
    """Write rows as one file of a table, in place of any file of the same name.

    Args:
        root: the store's folder; it is made when it does not exist.
        table: a name in `schema.SCHEMAS`.
        name: the file's stem: letters, digits, `-`, `_` and `.`, of which the last two not in front.
        rows: mappings from column to value (a map column takes a mapping too), or an Arrow table. Columns that are left
            out become null, but those in `KEYS` must be there in every row. No rows at all make an empty file.

    Returns:
        The path of the file.

    Raises:
        PrepeError: if the name is not one for a file, or the file cannot be written; nothing is left behind.
        ValueError: if the rows do not fit the table, which is the caller's mistake.
    """
    path_of(root, table, name)  # a wrong name is said before wrong rows
    return put(root, table, name, serialize(table, rows))


def serialize(table: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> pa.Buffer:
    """Return the content of a file of a table; rows are as in `write`."""
    content = pa.BufferOutputStream()
    pq.write_table(conform(table, rows), content, compression="zstd", write_page_checksum=True)
    return content.getvalue()


def put(root: Root, table: str, name: str, content: pa.Buffer) -> Path:
    """Make a file of a table with content that `serialize` gave; all else is as in `write`."""
    path = path_of(root, table, name)
    temporary = Path(root) / _TEMPORARY / f"{table}-{name}.{os.getpid()}-{secrets.token_hex(4)}"
    try:
        _make(path.parent)
        _make(temporary.parent)
        _clean(temporary.parent)
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise PrepeError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path


def exists(root: Root, table: str, name: str) -> bool:
    """Say whether a table has a file of this name, which means that it is whole."""
    return path_of(root, table, name).is_file()


def path_of(root: Root, table: str, name: str) -> Path:
    """Return where a file of a table lies, after checking both names."""
    if table not in SCHEMAS:
        raise ValueError(f"no table {table!r}; allowed: {', '.join(SCHEMAS)}")
    if not _NAME.fullmatch(name):
        raise PrepeError(
            f"{table}: {name!r} cannot name a file of a store; allowed: letters, digits, '-', '_' and '.', "
            "of which the last two not in front"
        )
    return Path(root) / table / f"{name}.parquet"


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


def _clean(folder: Path) -> None:
    """Remove what writers that were killed left in a folder more than a day ago."""
    for left in folder.iterdir():
        with suppress(FileNotFoundError):  # another writer was faster
            if time.time() - left.stat().st_mtime > _LEFT_BEHIND_S:
                left.unlink()


def _make(folder: Path) -> None:
    """Make a folder and those above it, each so that it outlives a power cut."""
    if not folder.is_dir():
        _make(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir()
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
