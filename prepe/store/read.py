"""The files of one table in; one Arrow table of the declared schema out, or the name of the file that does not fit.

Files of an older schema lack columns, which are then null.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs

from prepe.errors import PrepeError
from prepe.store import files
from prepe.store.gone import while_folded
from prepe.store.parts import Parts, held, parts
from prepe.store.root import Root
from prepe.store.scan import faults_named, of_files, scanned
from prepe.store.schema import SCHEMAS
from prepe.store.small import both


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
    return pa.concat_tables([scanned(rows, columns, both(kept, where)) for rows, kept in found])


def columns_lacked(root: Root, table: str, names: str = "*") -> set[str]:
    """Return the columns that a table has today, and that a file was written without; files are chosen as in `read`.

    Raises:
        PrepeError: as in `dataset`.
    """

    def columns() -> set[str]:
        lacked: set[str] = set()
        for rows, kept in parts(root, table, names):
            for fragment in rows.get_fragments():
                one = ds.FileSystemDataset([fragment], rows.schema, rows.format, rows.filesystem)
                with faults_named(one):
                    absent = set(rows.schema.names) - set(fragment.physical_schema.names)
                    if absent and one.count_rows(filter=kept):
                        lacked |= absent
        return lacked

    return while_folded(columns)


def dataset(root: Root, table: str) -> ds.FileSystemDataset:
    """Return all files of a table as one dataset of the declared schema, after checking every footer.

    Raises:
        PrepeError: naming a file that is damaged, foreign or of a newer schema, and what to do.
        Gone: a file was there when the folder was listed only.
    """
    return of_files(root, table, [each for kind in held(root, table) for each in kind])


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


def last_version(proposals: pa.Table) -> pa.Table:
    """Keep the proposals that belong to the version of their sweep's file of which a row was written last.

    Of several rows of one proposal, as after a run into a store that others were published to, the last one is kept.
    """
    doubled, several = _doubled(proposals), _several(proposals)
    if not doubled and not several:
        return proposals
    place = pa.array(np.arange(len(proposals)))
    at = pc.fill_null(proposals["created"].cast(pa.int64()), 0)
    order = pc.sort_indices(pa.table({"at": at, "place": place}), [("at", "ascending"), ("place", "ascending")])
    rows = proposals.select(["sweep", "digest", "number", "trial"]).append_column("place", place).take(order)
    places = rows["place"]
    if doubled:
        keys = ["sweep", "number", "trial"]
        places = rows.group_by(keys, use_threads=False).aggregate([("place", "last")])["place_last"]
    found = proposals.take(places.combine_chunks().sort())
    if not several:
        return found
    newest = rows.group_by("sweep", use_threads=False).aggregate([("place", "last")])["place_last"]
    last = proposals.take(newest)
    digest = dict(zip(last["sweep"].to_pylist(), last["digest"].to_pylist(), strict=True))
    pairs = zip(found["sweep"].to_pylist(), found["digest"].to_pylist(), strict=True)
    return found.filter(pa.array([digest[sweep] == own for sweep, own in pairs], pa.bool_()))


def _doubled(proposals: pa.Table) -> bool:
    """Say whether a proposal may stand twice, as there are two of one number in a sweep."""
    number = proposals["number"].to_numpy()
    key = _codes(proposals["sweep"]) * (int(number.max(initial=0)) + 1) + number
    rises = np.diff(key) > 0  # as the files that `compact` made are sorted
    return not rises.all() and not np.diff(np.sort(key)).all()


def _several(proposals: pa.Table) -> bool:
    """Say whether there are several versions of a sweep."""
    sweep, digest = _codes(proposals["sweep"]), _codes(proposals["digest"])
    first = np.zeros(sweep.max(initial=0) + 1, np.int64)
    first[sweep[::-1]] = digest[::-1]
    return bool((digest != first[sweep]).any())


def _codes(texts: pa.ChunkedArray) -> np.ndarray:
    """Return a number for each text, the same for the same, and 0 for null."""
    coded = texts.combine_chunks().dictionary_encode()
    return pc.fill_null(pc.cast(coded.indices, pa.int64()), -1).to_numpy() + 1


def check_store(root: Root) -> None:
    """Raise a PrepeError if there is no store in a folder or bucket."""
    system, path = files.opened(root)

    def is_folder(table: str) -> bool:
        found = files.asked(root, (table,), "looked at", lambda: system.get_file_info(f"{path}/{table}"))
        return bool(found.type == fs.FileType.Directory)

    if not any(map(is_folder, SCHEMAS)):  # one after the other: of many requests at once one always fails on a bad day
        raise PrepeError(f"{root}: no store here; make one with: prepe run FILE, or name another with --results DIR")


def sizes(root: Root) -> dict[str, int]:
    """Return the files of a store's tables, by their path below it, with their sizes in bytes."""
    return {f"{table}/{name}": size for table in SCHEMAS for name, size in files.sizes(root, table).items()}
