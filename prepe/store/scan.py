"""Files of a table in; their rows out, or the name of the file that cannot be read."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs

from prepe.errors import PrepeError
from prepe.store import files
from prepe.store.footer import ADVICE, Held, one_line, state_of
from prepe.store.gone import Gone
from prepe.store.patience import passes, patiently
from prepe.store.root import Root, is_remote
from prepe.store.schema import SCHEMAS
from prepe.store.small import MEAN_BYTES, Small

_T = TypeVar("_T")
_FORMAT = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)


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
    small = not dictionaries and not is_remote(root) and sum(each.bytes for each in chosen) <= MEAN_BYTES * len(chosen)
    return (Small if small else ds.FileSystemDataset)(fragments, schema, form, system)


def scanned(
    rows: ds.FileSystemDataset,
    columns: Sequence[str] | dict[str, pc.Expression] | None = None,
    where: pc.Expression | None = None,
) -> pa.Table:
    """Read rows of a dataset; errors are as in `rows_of`."""
    with faults_named(rows):
        try:
            return rows.to_table(columns=columns, filter=where)
        except OSError as error:
            if not passes(error):
                raise
        found = [_patiently(rows, each, lambda one: one.to_table(columns, where)) for each in rows.get_fragments()]
        return pa.concat_tables(found)


def count(rows: ds.FileSystemDataset, where: pc.Expression | None = None) -> int:
    """Return how many rows of a dataset there are for which a condition is true; errors are as in `rows_of`."""
    with faults_named(rows):
        return sum(_patiently(rows, each, lambda one: one.count_rows(filter=where)) for each in rows.get_fragments())


def _patiently(rows: ds.FileSystemDataset, fragment: ds.Fragment, look: Callable[[ds.FileSystemDataset], _T]) -> _T:
    """Return what a look at one file of a dataset gives; a bucket that does not answer is waited for."""
    one = ds.FileSystemDataset([fragment], rows.schema, rows.format, rows.filesystem)
    return patiently(files.place_in(rows.filesystem, fragment.path), "read", lambda: look(one))


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
        raise Gone(one_line(error)) from error
    except (pa.ArrowException, OSError) as error:
        check_rows(rows)
        if isinstance(error, OSError) and not isinstance(rows.filesystem, fs.LocalFileSystem):
            raise Gone(one_line(error)) from error  # all can be read now
        raise


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
        _patiently(rows, rows.format.make_fragment(path, rows.filesystem), lambda one: one.to_table())
    except FileNotFoundError as error:
        raise Gone(path) from error
    except (pa.ArrowException, OSError) as error:
        state = state_of(rows.filesystem, path, seen)
        if state is None:
            raise Gone(path) from error
        if state != seen:
            return _check_rows(rows, path, state)
        raise PrepeError(f"{path}: its rows cannot be read: {one_line(error)}; {ADVICE}") from error
