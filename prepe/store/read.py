"""The files of one table in; one Arrow table of the declared schema out, or the name of the file that does not fit.

Files of an older schema lack columns, which are then null. Every footer is checked when a folder is listed, so that a
damaged or foreign file is named before it can spoil a result.
"""

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

from prepe.errors import PrepeError
from prepe.store.schema import SCHEMAS, VERSION
from prepe.store.write import COMPACTED, KEYS, Root

_FORMAT = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)
_FILES = LocalFileSystem()
_ADVICE = "move it away and run the sweep again: what it held is made again"


def read(
    root: Root,
    table: str,
    where: pc.Expression | None = None,
    columns: Sequence[str] | None = None,
    names: str = "*",
) -> pa.Table:
    """Read the rows of a table, in the order of its files' names, those of compacted files last; see `parts`.

    Args:
        root: the store's folder. A folder that does not exist is an empty table: a first run starts with nothing.
        table: a name in `schema.SCHEMAS`.
        where: keeps the rows for which this is true, such as `pc.field("trial") == "0f3a..."`.
        columns: keeps these columns, in this order.
        names: keeps the files whose stem fits this pattern, such as `"0f3a*"`; the others are not opened, but for
            compacted ones (see `write.COMPACTED`), of which the rows are kept whose own file would have fitted.

    Raises:
        PrepeError: naming a file that is damaged, foreign or of a newer schema, and what to do.
    """
    found = parts(root, table, names)
    chosen = None if columns is None else list(columns)
    try:
        return pa.concat_tables([rows.to_table(columns=chosen, filter=_both(kept, where)) for rows, kept in found])
    except (pa.ArrowException, OSError):
        for rows, _ in found:
            check_rows(rows)
        raise


def parts(root: Root, table: str, names: str = "*") -> list[tuple[ds.FileSystemDataset, pc.Expression | None]]:
    """Return a table's own files and its compacted ones, if there are any, each with which of its rows count.

    What has a file of its own was measured after it was compacted, so it is not read from there. Of proposals every row
    counts, since they say themselves which is the last one.

    Raises:
        PrepeError: as in `dataset`.
    """
    own = dataset(root, table, names, compacted=False)
    compacted = dataset(root, table, f"*{COMPACTED}")
    if not compacted.files:
        return [(own, None)]
    kept = None if names == "*" else pc.match_substring_regex(_name(table), f"^{_pattern(names)}$")
    if own.files and table != "proposals":
        kept = _both(kept, ~_name(table).isin([Path(file).stem for file in own.files]))
    return [(own, None), (compacted, kept)]


def _name(table: str) -> pc.Expression:
    """Return of a row the name of the file that it was first written to."""
    first, second = ("sweep", "trial") if table == "proposals" else KEYS[table][:2]
    return pc.binary_join_element_wise(pc.field(first), pc.field(second), "-")


def _pattern(names: str) -> str:
    return ".*".join(re.escape(part) for part in names.split("*"))


def _both(a: pc.Expression | None, b: pc.Expression | None) -> pc.Expression | None:
    return b if a is None else a if b is None else a & b


def columns_lacked(root: Root, table: str, names: str = "*") -> set[str]:
    """Return the columns that a table has today, and that a file was written without; files are chosen as in `read`.

    Raises:
        PrepeError: as in `dataset`.
    """
    lacked: set[str] = set()
    for rows, kept in parts(root, table, names):
        for fragment in rows.get_fragments():
            absent = set(rows.schema.names) - set(fragment.physical_schema.names)
            if absent and ds.FileSystemDataset([fragment], rows.schema, _FORMAT, _FILES).count_rows(filter=kept):
                lacked |= absent
    return lacked


def first_block(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Keep rows with equal keys once, that of the first block, as the views do: two sweeps may have made it at once.

    Args:
        rows: of a table with the column `block`.
        keys: columns that tell rows apart.

    Returns:
        The rows in the order of their blocks.
    """
    return distinct(rows.sort_by("block"), keys)


def distinct(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Keep of rows with equal keys the first, in the order that they have."""
    numbered = rows.select(list(keys)).append_column("at", pa.array(range(len(rows)), pa.int64()))
    first = numbered.group_by(list(keys), use_threads=False).aggregate([("at", "min")])["at_min"]
    return rows if len(first) == len(rows) else rows.take(first.combine_chunks().sort())


def dataset(root: Root, table: str, names: str = "*", *, compacted: bool = True) -> ds.FileSystemDataset:
    """Return the files of a table as one dataset of the declared schema, after checking every footer.

    Args:
        root: the store's folder.
        table: a name in `schema.SCHEMAS`.
        names: a pattern of stems, which compacted files do not fit unless it is `"*"` or theirs.
        compacted: whether those that fit are among the files.

    Raises:
        PrepeError: naming a file that is damaged, foreign or of a newer schema, and what to do.
    """
    if table not in SCHEMAS:
        raise ValueError(f"no table {table!r}; allowed: {', '.join(SCHEMAS)}")
    paths = [each for each in _paths(Path(root) / table, names) if compacted or not Path(each).stem.endswith(COMPACTED)]
    fragments = [_fragment(path, table) for path in paths]
    return ds.FileSystemDataset(fragments, SCHEMAS[table], _FORMAT, _FILES)


def check_rows(rows: ds.FileSystemDataset) -> None:
    """Read every row of a dataset, and raise a PrepeError that names the first file where that fails."""
    for fragment in rows.get_fragments():
        try:
            fragment.to_table(schema=rows.schema)
        except (pa.ArrowException, OSError) as error:
            raise PrepeError(f"{fragment.path}: its rows cannot be read: {_first_line(error)}; {_ADVICE}") from error


def check_store(root: Root) -> None:
    """Raise a PrepeError if there is no store in a folder."""
    if not any((Path(root) / table).is_dir() for table in SCHEMAS):
        raise PrepeError(f"{root}: no store here; make one with: prepe run FILE, or name another with --results DIR")


def _paths(folder: Path, names: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entry.name for entry in entries if not entry.name.startswith((".", "_")))
    except FileNotFoundError:
        return
    except OSError as error:
        raise PrepeError(f"{folder}: cannot be listed: {error.strerror}") from error
    for name in found:
        stem, suffix = os.path.splitext(name)
        if suffix == ".parquet" and _fits(stem, names):
            yield os.path.join(folder, name)


def _fits(stem: str, names: str) -> bool:
    """Say whether a file is wanted; compacted ones fit no pattern but all, and their own."""
    return names == "*" or (fnmatchcase(stem, names) and stem.endswith(COMPACTED) == names.endswith(COMPACTED))


def _fragment(path: str, table: str) -> ds.ParquetFileFragment:
    try:
        held = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        reason = _first_line(error).removeprefix(f"Could not open Parquet input source '{path}': ")
        raise PrepeError(f"{path}: not a readable Parquet file: {reason}; {_ADVICE}") from error
    fault = _fault(held, table)
    if fault:
        raise PrepeError(f"{path}: {fault}")
    return _FORMAT.make_fragment(path, _FILES)  # opens the file anew: if it was replaced meanwhile, it is whole too


def _fault(held: pa.Schema, table: str) -> str | None:
    """Return what is wrong with a file's schema in the folder of a table, or None."""
    tags = {key.decode(): value.decode() for key, value in (held.metadata or {}).items()}
    owner, version = tags.get("prepe_table"), tags.get("prepe_schema", "")
    if owner is None or not version.isdecimal():
        return f"not written by prepe, and every file here is read as one of the table {table}; move it away"
    if owner != table:
        return f"holds rows of the table {owner}, and lies in the folder of {table}; move it to the folder {owner}"
    if int(version) > VERSION:
        return (
            f"written with schema {version}, and this prepe knows schemas up to {VERSION}; install a newer prepe, "
            f"or {_ADVICE}"
        )
    for field in SCHEMAS[table]:
        at = held.get_field_index(field.name)
        if at >= 0 and held.field(at).type != field.type:
            return f"column {field.name} holds {held.field(at).type}, and {field.type} is declared; {_ADVICE}"
    return None


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
