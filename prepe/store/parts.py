"""The names of a table's files in; which rows of which files count out.

Files of one table are those of blocks of their own, published ones, and those that `compact` made. Every footer is
checked when a folder is listed, so that a damaged or foreign file is named before it can spoil a result.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import reduce
from operator import or_

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from prepe.store import files
from prepe.store.footer import Held, footer
from prepe.store.patience import together
from prepe.store.root import Root, is_remote
from prepe.store.scan import of_files, scanned
from prepe.store.schema import SCHEMAS
from prepe.store.small import both
from prepe.store.write import COMPACTED, KEYS

Parts = list[tuple[ds.FileSystemDataset, pc.Expression | None]]
_AT_ONCE = 16  # footers that are asked for at once where each is an answer from far away


def parts(root: Root, table: str, names: str = "*") -> Parts:
    """Return a table's own files and its compacted ones, if there are any, each with which of its rows count.

    What has a file of its own was measured after it was compacted, so it is not read from there. Of published proposals
    every row counts, since they say themselves which is the last one; a compacted row that is one of them does not.
    Other published rows take the place of compacted ones, but for items of which the compacted ones are more.

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
    if published and table == "proposals":
        rows = of_files(root, table, published)
        found.append((rows, chosen))
        if folded:
            chosen = both(chosen, ~_written().isin(scanned(rows, {"written": _written()})["written"]))
    elif published:
        rows = of_files(root, table, published)
        counts = _counts(table, rows) if folded else {}
        fuller = _fuller(of_files(root, table, folded), counts) if folded and table == "items" else set()
        found.append((rows, both(chosen, _outside(table, [*hidden, *sorted(fuller)]))))
        hidden += sorted(set(counts) - fuller)
    if folded:
        found.append((of_files(root, table, folded), both(chosen, _outside(table, hidden))))
    return found


def _counts(table: str, rows: ds.FileSystemDataset, where: pc.Expression | None = None) -> dict[str, int]:
    """Return how many rows there are of each file that rows were first written to, by its name."""
    keys = _first_keys(table)
    counts = scanned(rows, keys, where).group_by(keys).aggregate([([], "count_all")]).to_pylist()
    return {"-".join(each[key] for key in keys): each["count_all"] for each in counts}


def _fuller(folded: ds.FileSystemDataset, published: dict[str, int]) -> set[str]:
    """Return the blocks of which compacted files have more items than a published one, which may lack most of them."""
    named = name_of_row("items").isin(pa.array(list(published), pa.string()))
    return {name for name, count in _counts("items", folded, named).items() if count > published[name]}


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


def _opened(root: Root, table: str, chosen: Sequence[str]) -> list[Held]:
    """Read and check the footers of files."""
    if not is_remote(root) or len(chosen) < 2:
        return [footer(root, table, stem) for stem in chosen]
    return together(lambda stem: footer(root, table, stem), chosen, _AT_ONCE)


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


def _fits(stem: str, names: str) -> bool:
    return names == "*" or fnmatchcase(stem, names)


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
