"""Small files of a store in; a few large ones with the same rows out, while others read and write.

A file is written that says in its footer of which compacted files it has the rows; then what it was made of is removed.
Until that is done, readers see both, and pass over what they would see twice (see `parts`): rows of which there is
a file of their own, and compacted files that another one stands for. So nothing is lost or doubled wherever it is
killed, and the next run goes on from there. What is written anew meanwhile stays, and is what counts.
"""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from prepe.errors import PrepeError
from prepe.store import files
from prepe.store.find import running
from prepe.store.footer import FOLDS, SHARED, Held, footer
from prepe.store.gone import while_folded
from prepe.store.parts import Parts, counted, held, stems
from prepe.store.patience import impatient, together
from prepe.store.read import check_store, distinct
from prepe.store.root import Root, is_remote
from prepe.store.scan import count, scanned
from prepe.store.schema import SCHEMAS
from prepe.store.write import COMPACTED, KEYS, put, serialize

FULL_MB = 128.0
_MB = 10**6
_LOCK, _MARKS = "_compact.lock", "_compacting"
_FORGOTTEN_S, _RENEWED_S = 300, 60
_GROUP_BYTES = 16 * _MB
_GROUP_ROWS = 1 << 17
_PROPOSALS = 1 << 14
"""So many of them a reader skips, or reads, at once: a sweep's are a small part of all."""
_MOST_SHARED = 20_000
_AT_ONCE = 16


@dataclass(frozen=True)
class Compacted:
    """What became of a table: its files before and after, and its rows."""

    table: str
    before: int
    after: int
    rows: int
    size: int


def compact(root: Root, full_mb: float = FULL_MB) -> list[Compacted]:
    """Fold the files of every table into a few large ones, sorted, so that readers skip what they do not want.

    Args:
        root: the store.
        full_mb: what a large file has in megabytes of 10^6 bytes, compressed; from half of that on, one is left alone.

    Raises:
        PrepeError: there is no store, a file cannot be read or written, or another process is at it.
    """
    check_store(root)
    with alone(root):
        return [each for table in SCHEMAS if (each := _compact(root, table, full_mb * _MB)).before]


def _compact(root: Root, table: str, full: float) -> Compacted:
    before = sum(map(len, stems(root, table)))
    sweep_up(root, table)
    every, found = while_folded(lambda: _counted(root, table))
    own, published, folded = every
    if table == "proposals" and (sweeps := running(root)):  # whose drivers write these anew
        own = [each for each in own if not _is_of(each.stem, sweeps)]
    sizes = files.sizes(root, table)
    small = [each for each in folded if sizes.get(f"{each.stem}.parquet", 0) < full / 2]
    replaced = [[each] for each in folded if each not in small and _is_replaced(root, table, every, each)]
    first = [*published, *small]
    batches = [first] if first else []
    for each in own:
        size = sum(sizes.get(f"{of.stem}.parquet", 0) for of in batches[-1]) if batches else full
        if size < full:
            batches[-1].append(each)
        else:
            batches.append([each])
    if own or published or len(small) > 1:
        shared = _shared(table, found)
        for batch in (*replaced, *batches):
            _fold(root, table, found, batch, shared)
    left = stems(root, table)
    after = sum(each.rows for kind in while_folded(lambda: held(root, table)) for each in kind)
    return Compacted(table, before, sum(map(len, left)), after, sum(files.sizes(root, table).values()))


def _counted(root: Root, table: str) -> tuple[tuple[list[Held], list[Held], list[Held]], Parts]:
    every = held(root, table)
    return every, counted(root, table, every)


def _is_of(stem: str, sweeps: Iterable[str]) -> bool:
    """Say whether a file of proposals may be of one of some sweeps."""
    return stem.startswith(tuple(f"{sweep}-" for sweep in sweeps))


def _is_replaced(root: Root, table: str, every: tuple[list[Held], list[Held], list[Held]], folded: Held) -> bool:
    """Say whether a file that `compact` made has rows that do not count, since they were written anew."""
    *_, (rows, kept) = while_folded(lambda: counted(root, table, (every[0], every[1], [folded])))
    return kept is not None and count(rows, kept) < count(rows)


def sweep_up(root: Root, table: str) -> None:
    """Remove compacted files that another one stands for, which a run that was killed left, in a context of `alone`.

    One that itself stands for another goes after that, which would count again without it.
    """
    every = while_folded(lambda: [footer(root, table, stem) for stem in stems(root, table)[1]])
    folds = {each.stem: set(each.folds) for each in every if each.folds is not None}
    stale = {stem for each in folds.values() for stem in each} & set(folds)
    while stale:
        last = {stem for stem in stale if not folds[stem] & stale} or stale
        for stem in last:
            files.remove(root, table, f"{stem}.parquet")
        stale = stale - last


def _fold(root: Root, table: str, found: Parts, batch: Sequence[Held], shared: set[str]) -> None:
    """Write one file with the rows of some, and remove these: published ones first, which own ones take the place of.

    A published file is not among those that the new one stands for, since another may be published by its name.
    """
    states = {each.stem: files.state(root, table, f"{each.stem}.parquet") for each in batch}
    rows = while_folded(lambda: _rows_of(table, found, batch))
    replace(root, table, [each.stem for each in batch if each.folds is not None], rows, shared)
    published = [each for each in batch if each.stem.endswith(COMPACTED) and each.folds is None]
    others = [each for each in batch if each not in published]
    if table == "proposals" and (sweeps := running(root)):  # a driver that has started meanwhile
        others = [each for each in others if each.stem.endswith(COMPACTED) or not _is_of(each.stem, sweeps)]
    for some in (published, others):
        together(
            lambda each: _remove(root, table, each.stem, states[each.stem]), some, _AT_ONCE if is_remote(root) else 1
        )


def _remove(root: Root, table: str, stem: str, state: tuple[int, int] | None) -> None:
    """Remove a file, unless it was written anew since its rows were read."""
    if files.state(root, table, f"{stem}.parquet") == state:
        files.remove(root, table, f"{stem}.parquet")


def fold_once(root: Root, table: str, folded: Sequence[Held]) -> None:
    """Make files that `compact` made one, in which every row stands once, in a context of `alone`."""
    _fold(root, table, counted(root, table, ([], [], list(folded))), folded, shared_blocks(root, table))


def _rows_of(table: str, every: Parts, chosen: Iterable[Held]) -> pa.Table:
    """Return the rows of some of a table's files that count, each once.

    Raises:
        PrepeError: naming a file that cannot be read.
    """
    names = {f"{each.stem}.parquet" for each in chosen}
    found = []
    for rows, kept in every:
        fragments = [each for each in rows.get_fragments() if each.path.rsplit("/", 1)[-1] in names]
        part = ds.FileSystemDataset(fragments, rows.schema, rows.format, rows.filesystem)
        found.append(scanned(part, None, kept))
    keys = [*KEYS[table]]
    every_row = pa.concat_tables(found)
    if table == "proposals":  # of the same version of a file, the one that was written last
        return distinct(every_row.sort_by([("created", "descending")]), [*keys, "digest"])
    return distinct(every_row, keys)


def replace(root: Root, table: str, compacted: Sequence[str], rows: pa.Table, shared: Iterable[str]) -> None:
    """Write rows as one file that stands for compacted ones; `shared` has, of the trials or models, those of `SHARED`.

    The same rows make the same order. Effects of a member stay in the order of its file's interventions, of which
    figures show the first.
    """
    first = KEYS[table][0]
    keys = [key for key in KEYS[table] if (table, key) != ("effects", "intervention")]
    rows = rows.sort_by([(key, "ascending") for key in keys])
    several = sorted(set(rows[first].unique().to_pylist()) & set(shared))
    tags = {FOLDS: json.dumps(list(compacted)), SHARED: json.dumps(several if len(several) <= _MOST_SHARED else None)}
    most = _PROPOSALS if table == "proposals" else _GROUP_ROWS
    group = min(most, max(1000, int(_GROUP_BYTES / max(1.0, rows.nbytes / max(1, len(rows))))))
    name = f"{int(time.time()):x}-{secrets.token_hex(4)}{COMPACTED}"
    put(root, table, name, serialize(table, rows, tags, group))


def shared_blocks(root: Root, table: str) -> set[str]:
    """Return the trials or models of a table that have rows in several blocks."""
    return while_folded(lambda: _shared(table, counted(root, table, held(root, table))))


def _shared(table: str, every: Parts) -> set[str]:
    if table == "proposals":
        return set()
    first, block = KEYS[table][:2]
    tables = [scanned(rows, [first, block], kept) for rows, kept in every]
    pairs = pa.concat_tables(tables).group_by([first, block]).aggregate([])
    blocks = pairs.group_by(first).aggregate([(block, "count")])
    return set(blocks.filter(pc.field(f"{block}_count") > 1)[first].to_pylist())


@contextmanager
def alone(root: Root) -> Iterator[None]:
    """Be the only process that replaces or removes files of a store while in this context.

    In a folder this is a lock that ends with the process. In a bucket it is a marker, after which others are looked
    for: of two at once at least one gives way. It is renewed every minute; one that a killed process left counts for
    five.

    Raises:
        PrepeError: another process is.
    """
    if is_remote(root):
        with _marked(root):
            yield
        return
    path = Path(root) / _LOCK
    try:
        file = open(path, "a", encoding="utf-8")  # noqa: SIM115  closed below
    except OSError as error:
        raise PrepeError(f"{path}: cannot be written: {error.strerror}") from None
    with file:
        if not locked(file.fileno()):
            raise PrepeError(f"{root}: another process compacts, repairs or removes something there; try again later")
        yield


def locked(descriptor: int) -> bool:
    """Lock an open file, and say whether that went well, or could not be tried."""
    try:
        import fcntl
    except ImportError:  # not a Unix
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


@contextmanager
def _marked(root: Root) -> Iterator[None]:
    mine = f"{os.getpid()}-{secrets.token_hex(6)}"
    files.put(root, (_MARKS, mine), b"1")
    try:
        for name in set(files.sizes(root, _MARKS)) - {mine}:
            state = files.state(root, _MARKS, name)
            if state is not None and time.time() - state[1] / 1e9 < _FORGOTTEN_S:
                raise PrepeError(f"{root}: another process compacts, repairs or removes something there; try later")
            files.remove(root, _MARKS, name)
        with _renewed(lambda: files.put(root, (_MARKS, mine), b"1")):
            yield
    finally:
        files.remove(root, _MARKS, mine)


@contextmanager
def _renewed(renew: Callable[[], None]) -> Iterator[None]:
    """Do something every minute while in this context; that it fails once does no harm."""
    over = threading.Event()

    def again() -> None:
        while not over.wait(_RENEWED_S):
            with suppress(PrepeError), impatient():
                renew()

    thread = threading.Thread(target=again, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
