"""The files of one table in; one Arrow table of the declared schema out, or the name of the file that does not fit.

Files of an older schema lack columns, which are then null. Every footer is checked when a folder is listed, so that a
damaged or foreign file is named before it can spoil a result. While files are folded into larger ones (see `compact`),
a reader begins again whenever a file that it had listed is gone.
"""

import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import reduce
from operator import or_
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from prepe.errors import PrepeError
from prepe.store import files
from prepe.store.files import first_line
from prepe.store.root import Root, is_remote
from prepe.store.schema import SCHEMAS, VERSION
from prepe.store.write import COMPACTED, FOLDS, KEYS, SHARED

_T = TypeVar("_T")
Parts = list[tuple[ds.FileSystemDataset, pc.Expression | None]]
_FORMAT = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)
_PATIENCE_S = 30.0
"""How long to wait in all for a store in which files go away."""
_LONGEST_PAUSE_S = 0.25
_AT_ONCE = 16  # footers that are asked for at once where each is an answer from far away
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
    chosen = None if columns is None else list(columns)

    return while_folded(lambda: rows_of(parts(root, table, names), where, chosen))


def rows_of(found: Parts, where: pc.Expression | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the rows of what `parts` found.

    Raises:
        PrepeError: naming a file that is damaged.
        Gone: a file is not there any more.
    """
    return pa.concat_tables([scanned(rows, columns, _both(kept, where)) for rows, kept in found])


def scanned(
    rows: ds.FileSystemDataset,
    columns: Sequence[str] | dict[str, pc.Expression] | None = None,
    where: pc.Expression | None = None,
) -> pa.Table:
    """Read rows of a dataset; errors are as in `rows_of`."""
    with faults_named(rows):
        return rows.to_table(columns=columns, filter=where)


@contextmanager
def faults_named(rows: ds.FileSystemDataset) -> Iterator[None]:
    """Say of a dataset that cannot be read in this context which file is damaged, or gone.

    Raises:
        PrepeError: naming a file that is damaged.
        Gone: a file is not there any more, or was written anew in a bucket while it was read.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise Gone(first_line(error)) from error
    except (pa.ArrowException, OSError) as error:
        check_rows(rows)
        if isinstance(error, OSError) and not isinstance(rows.filesystem, fs.LocalFileSystem):
            raise Gone(first_line(error)) from error  # all can be read now
        raise


class Gone(FileNotFoundError):
    """A file that was listed is not there any more, since its rows were folded into another one, or it was removed."""


def while_folded(look: Callable[[], _T]) -> _T:
    """Return what a look at a store gives, after as many looks as it takes not to miss a file that was just listed.

    Between them it pauses, ever longer.

    Raises:
        PrepeError: files go away all the time.
    """
    pause, paused = 0.001, 0.0
    while True:
        try:
            return look()
        except Gone as gone:
            if paused >= _PATIENCE_S:
                raise PrepeError(
                    f"{gone}: it was there when its folder was listed, and gone when it was to be read; try again"
                ) from gone
        time.sleep(pause)
        paused += pause
        pause = min(2 * pause, _LONGEST_PAUSE_S)


class Held(NamedTuple):
    """A file of a table: its stem, how many rows it has, and the schema with the tags in its footer."""

    stem: str
    rows: int
    schema: pa.Schema

    @property
    def tags(self) -> dict[str, str]:
        return _tags(self.schema)

    @property
    def folds(self) -> list[str] | None:
        """The compacted files whose rows it has in their place, if it was made by `compact`."""
        return json.loads(self.tags[FOLDS]) if FOLDS in self.tags else None


def parts(root: Root, table: str, names: str = "*") -> Parts:
    """Return a table's own files and its compacted ones, if there are any, each with which of its rows count.

    What has a file of its own was measured after it was compacted, so it is not read from there. Of published proposals
    every row counts, since they say themselves which is the last one; a compacted row that is one of them does not.

    Raises:
        PrepeError: as in `dataset`.
        Gone: a file was there when the folder was listed only.
    """
    return counted(root, table, held(root, table, names), names)


def parts_compacted(root: Root, table: str) -> Parts:
    """Return what `parts` does without opening files that are not compacted."""
    return counted(root, table, held(root, table, ""))


def counted(root: Root, table: str, every: tuple[list[Held], list[Held], list[Held]], names: str = "*") -> Parts:
    """Return what `parts` does of files that `held` gave."""
    own, published, folded = every
    chosen = _chosen(table, names)
    hidden = [each.stem for each in own]
    found: Parts = [(of_files(root, table, own), None)]
    if published:
        rows = of_files(root, table, published)
        found.append((rows, _both(chosen, None if table == "proposals" else _outside(table, hidden))))
        if folded and table == "proposals":
            chosen = _both(chosen, ~_written().isin(scanned(rows, {"written": _written()})["written"]))
        elif folded:
            keys = _first_keys(table)
            pairs = scanned(rows, keys).group_by(keys).aggregate([]).to_pylist()
            hidden += ["-".join(pair.values()) for pair in pairs]
    if folded:
        found.append((of_files(root, table, folded), _both(chosen, _outside(table, hidden))))
    return found


def _written() -> pc.Expression:
    """Return of a row of `proposals` what no other row has, unless it is a copy."""
    at = pc.field("created").cast(pa.int64()).cast(pa.string())
    parts = [pc.field("sweep"), pc.field("trial"), pc.coalesce(pc.field("digest"), ""), pc.coalesce(at, "")]
    return pc.binary_join_element_wise(*parts, "/")


def held(root: Root, table: str, names: str = "*") -> tuple[list[Held], list[Held], list[Held]]:
    """Return a table's own files, published ones, and those that `compact` made, after checking every footer.

    Of the last, those are left out of which another one has the rows. Names choose own files alone.

    Raises:
        PrepeError: naming a file that is damaged, foreign or of a newer schema, and what to do.
        Gone: a file was there when the folder was listed only.
    """
    own, compacted = stems(root, table)
    wanted = [stem for stem in own if _fits(stem, names)]
    return by_kind(_opened(root, table, [*wanted, *compacted]))


def by_kind(every: Sequence[Held]) -> tuple[list[Held], list[Held], list[Held]]:
    """Return files as `held` does.

    A published file never goes out of date by its name, which the next one that is published has too.
    """
    own = [each for each in every if not each.stem.endswith(COMPACTED)]
    compacted = [(each, each.folds) for each in every if each.stem.endswith(COMPACTED)]
    stale = {stem for _, folds in compacted for stem in folds or ()}
    published = [each for each, folds in compacted if folds is None]
    folded = [each for each, folds in compacted if folds is not None and each.stem not in stale]
    return own, published, folded


def stems(root: Root, table: str) -> tuple[list[str], list[str]]:
    """Return the stems of a table's own files and of its compacted ones.

    What is compacted is looked at after what is not, until two looks agree: what is folded meanwhile appears in its new
    file before the old ones go, so it is not missed.
    """
    before = _stems(root, table)
    while True:
        after = _stems(root, table)
        compacted = [stem for stem in after if stem.endswith(COMPACTED)]
        if compacted == [stem for stem in before if stem.endswith(COMPACTED)]:
            return [stem for stem in before if not stem.endswith(COMPACTED)], compacted
        before = after


def _stems(root: Root, table: str) -> list[str]:
    if table not in SCHEMAS:
        raise ValueError(f"no table {table!r}; allowed: {', '.join(SCHEMAS)}")
    return [name.removesuffix(".parquet") for name in files.listed(root, table) if name.endswith(".parquet")]


def _first_keys(table: str) -> list[str]:
    return ["sweep", "trial"] if table == "proposals" else list(KEYS[table][:2])


def name_of_row(table: str) -> pc.Expression:
    """Return of a row the name of the file that it was first written to."""
    first, second = _first_keys(table)
    return pc.binary_join_element_wise(pc.field(first), pc.field(second), "-")


def _outside(table: str, names: Sequence[str]) -> pc.Expression | None:
    """Return what is true of rows whose own file would have none of these names."""
    return ~name_of_row(table).isin(pa.array(names, pa.string())) if names else None


def _chosen(table: str, names: str) -> pc.Expression | None:
    """Return what is true of rows whose own file would have had a name that fits a pattern."""
    if names == "*":
        return None
    if table == "proposals" and names.startswith("*-") and not set(names[2:-1]) & {"*", "-"}:  # of a trial
        trial = pc.field("trial")
        return pc.starts_with(trial, names[2:-1]) if names.endswith("*") else trial == names[2:]
    literal, star, more = names.partition("*")
    if more:
        return pc.match_substring_regex(
            name_of_row(table), f"^{'.*'.join(re.escape(part) for part in names.split('*'))}$"
        )
    first, second = map(pc.field, _first_keys(table))
    splits = [i for i, sign in enumerate(literal) if sign == "-"]
    if table != "proposals":
        splits = splits[:1]  # a digest has none, so statistics alone say which parts of a file to skip
    found = [
        (first == literal[:i]) & (pc.starts_with(second, literal[i + 1 :]) if star else second == literal[i + 1 :])
        for i in splits
    ]
    if star and (table == "proposals" or not splits):
        found.append(pc.starts_with(first, literal))
    return reduce(or_, found, pc.scalar(False))


def _both(a: pc.Expression | None, b: pc.Expression | None) -> pc.Expression | None:
    return b if a is None else a if b is None else a & b


def columns_lacked(root: Root, table: str, names: str = "*") -> set[str]:
    """Return the columns that a table has today, and that a file was written without; files are chosen as in `read`.

    Raises:
        PrepeError: as in `dataset`.
    """
    system, _ = files.opened(root)

    def columns() -> set[str]:
        lacked: set[str] = set()
        for rows, kept in parts(root, table, names):
            for fragment in rows.get_fragments():
                one = ds.FileSystemDataset([fragment], rows.schema, _FORMAT, system)
                with faults_named(one):
                    absent = set(rows.schema.names) - set(fragment.physical_schema.names)
                    if absent and one.count_rows(filter=kept):
                        lacked |= absent
        return lacked

    return while_folded(columns)


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


def dataset(root: Root, table: str) -> ds.FileSystemDataset:
    """Return all files of a table as one dataset of the declared schema, after checking every footer.

    Raises:
        PrepeError: naming a file that is damaged, foreign or of a newer schema, and what to do.
        Gone: a file was there when the folder was listed only.
    """
    return of_files(root, table, [each for kind in held(root, table) for each in kind])


def of_files(
    root: Root, table: str, chosen: Sequence[Held], dictionaries: Collection[str] = ()
) -> ds.FileSystemDataset:
    """Return files of a table as one dataset of the declared schema, with dictionaries in place of some texts."""
    system, path = files.opened(root)
    schema, form = SCHEMAS[table], _FORMAT
    if dictionaries:
        coded = pa.dictionary(pa.int32(), pa.string())
        schema = pa.schema([each.with_type(coded) if each.name in dictionaries else each for each in schema])
        options = ds.ParquetReadOptions(dictionary_columns=set(dictionaries))
        form = ds.ParquetFileFormat(
            read_options=options, default_fragment_scan_options=_FORMAT.default_fragment_scan_options
        )
    fragments = [form.make_fragment(f"{path}/{table}/{each.stem}.parquet", system) for each in chosen]
    return ds.FileSystemDataset(fragments, schema, form, system)


def check_rows(rows: ds.FileSystemDataset) -> None:
    """Read every row of a dataset, and raise a PrepeError that names the first file where that fails.

    Raises:
        Gone: a file is not there any more.
    """
    for fragment in rows.get_fragments():
        _check_rows(rows, fragment.path)


def _check_rows(rows: ds.FileSystemDataset, path: str, seen: tuple[int, int] = (-1, -1)) -> None:
    """Read every row of a file, in a bucket as often as `footer` does."""
    try:
        rows.format.make_fragment(path, rows.filesystem).to_table(schema=rows.schema)
    except FileNotFoundError as error:
        raise Gone(path) from error
    except (pa.ArrowException, OSError) as error:
        state = _state(rows.filesystem, path, seen)
        if state is None:
            raise Gone(path) from error
        if state != seen:
            return _check_rows(rows, path, state)
        raise PrepeError(f"{path}: its rows cannot be read: {first_line(error)}; {_ADVICE}") from error


def _state(system: fs.FileSystem, path: str, seen: tuple[int, int]) -> tuple[int, int] | None:
    """Return of a file in a bucket what `files.state` does; of one on a disk, and without an answer, `seen`."""
    if isinstance(system, fs.LocalFileSystem):
        return seen
    try:
        info = system.get_file_info(path)
    except (pa.ArrowException, OSError):
        return seen
    return (info.size, info.mtime_ns) if info.type == fs.FileType.File else None


def check_store(root: Root) -> None:
    """Raise a PrepeError if there is no store in a folder or bucket."""
    system, path = files.opened(root)
    try:
        found = system.get_file_info([f"{path}/{table}" for table in SCHEMAS])
    except (pa.ArrowException, OSError) as error:
        raise PrepeError(f"{root}: cannot be looked at: {first_line(error)}") from error
    if not any(each.type == fs.FileType.Directory for each in found):
        raise PrepeError(f"{root}: no store here; make one with: prepe run FILE, or name another with --results DIR")


def sizes(root: Root) -> dict[str, int]:
    """Return the files of a store's tables, by their path below it, with their sizes in bytes."""
    return {f"{table}/{name}": size for table in SCHEMAS for name, size in files.sizes(root, table).items()}


def _fits(stem: str, names: str) -> bool:
    return names == "*" or fnmatchcase(stem, names)


def _opened(root: Root, table: str, chosen: Sequence[str]) -> list[Held]:
    """Read and check the footers of files."""
    if not is_remote(root) or len(chosen) < 2:
        return [footer(root, table, stem) for stem in chosen]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda stem: footer(root, table, stem), chosen))


def footer(root: Root, table: str, stem: str, seen: tuple[int, int] = (-1, -1)) -> Held:
    """Read and check the footer of a file of a table.

    A bucket is asked more than once for one footer, so a file may go or change in between. Where that looks damaged, it
    is read again until it stays the same; `seen` is its state when it was last looked at.

    Raises:
        PrepeError: the file is damaged, foreign or of a newer schema.
        Gone: it is not there.
    """
    system, path = files.opened(root)
    file, name = f"{path}/{table}/{stem}.parquet", files.place(root, table, f"{stem}.parquet")
    try:
        found = pq.read_metadata(file, filesystem=system)
        schema = found.schema.to_arrow_schema()
        fault = _fault(schema, table)
    except FileNotFoundError as error:
        raise Gone(name) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        state = _state(system, file, seen)
        if state is None:
            raise Gone(name) from error
        if state != seen:
            return footer(root, table, stem, state)
        reason = first_line(error).removeprefix(f"Could not open Parquet input source '{file}': ")
        raise PrepeError(f"{name}: not a readable Parquet file: {reason}; {_ADVICE}") from error
    if fault:
        raise PrepeError(f"{name}: {fault}")
    return Held(stem, found.num_rows, schema)


def _tags(schema: pa.Schema) -> dict[str, str]:
    named = (schema.metadata or {}).items()
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in named}


def _is_list_of_texts(text: str) -> bool:
    """Say whether JSON is a list of texts, or null."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return found is None or (isinstance(found, list) and all(isinstance(each, str) for each in found))


def _fault(held: pa.Schema, table: str) -> str | None:
    """Return what is wrong with a file's schema in the folder of a table, or None."""
    tags = _tags(held)
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
    for tag in (FOLDS, SHARED):
        if tag in tags and not _is_list_of_texts(tags[tag]):
            return f"its footer is damaged, in {tag}; {_ADVICE}"
    if held.equals(SCHEMAS[table]):
        return None
    unknown = [name for name in held.names if name not in SCHEMAS[table].names]
    lacked = [name for name in SCHEMAS[table].names if name not in held.names]
    if unknown and lacked:  # an older file lacks columns, a newer one has more; a flipped bit in a name does both
        return f"column {unknown[0]!r} is none of the table {table}, and {lacked[0]} is missing; {_ADVICE}"
    for field in SCHEMAS[table]:
        at = held.get_field_index(field.name)
        if at >= 0 and held.field(at).type != field.type:
            return f"column {field.name} holds {held.field(at).type}, and {field.type} is declared; {_ADVICE}"
    return None
