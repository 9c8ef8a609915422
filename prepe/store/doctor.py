"""A store in; what is wrong with it out: damaged and foreign files, rows that stand twice, rows that belong to nothing.

With `repair`, bad files and orphaned rows are moved below `_aside`, which no reader looks at; what they held is made
again by the next run of its sweep. Everything else stays as it is.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from prepe.errors import PrepeError
from prepe.store import compact, files
from prepe.store.find import running
from prepe.store.footer import FOLDS, Held, footer
from prepe.store.gone import Gone, while_folded
from prepe.store.parts import by_kind, counted, name_of_row, stems
from prepe.store.patience import Unanswered
from prepe.store.read import check_store, distinct
from prepe.store.removal import set_aside, take_out
from prepe.store.root import Root
from prepe.store.scan import check_rows, count, of_files, scanned
from prepe.store.schema import SCHEMAS
from prepe.store.write import COMPACTED, KEYS, put, serialize

_UNFINISHED_S = 15 * 60
"""How long rows may belong to nothing yet: a worker writes a block's tables one after another."""
_ROUNDS = 6
_Kinds = tuple[list[Held], list[Held], list[Held]]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a store.

    Attributes:
        place: the file, by its path below the store, or the table.
        fault: what is wrong.
        remedy: what mends it.
        done: whether that was done.
    """

    place: str
    fault: str
    remedy: str
    done: bool = False
    mend: Callable[[], object] | None = field(default=None, compare=False, repr=False)


def examine(root: Root, repair: bool = False) -> list[Finding]:
    """Return what is wrong with a store, after reading all of it, and mend it if asked to.

    Rows that were written in the last 15 minutes are not called orphans: they may be of a block that is being written.

    Raises:
        PrepeError: there is no store, the store cannot be read or written, another process changes files, or a sweep
            runs whose store is to be mended.
    """
    check_store(root)
    if not repair:
        return _every(root)
    mended: list[Finding] = []
    with compact.alone(root):
        if sweeps := sorted(running(root)):
            raise PrepeError(f"{root}: sweep {sweeps[0]} runs; allowed: --repair after it, a minute after a kill")
        for _ in range(_ROUNDS):  # what is set aside may leave orphans
            found = _every(root)
            if not any(each.mend for each in found):
                return mended + found
            touched: set[str] = set()
            for each in found:
                if each.mend and each.place not in touched:  # what else is wrong there shows in the next round
                    each.mend()
                    mended.append(replace(each, done=True))
                    touched.add(each.place)
    return mended + _every(root)


def _every(root: Root) -> list[Finding]:
    return while_folded(lambda: list(_all(root)))


def _all(root: Root) -> Iterator[Finding]:
    sound: dict[str, _Kinds] = {}
    for table in SCHEMAS:
        every: list[Held] = []
        yield from _unreadable(root, table, every)
        sound[table] = by_kind(every)
        yield from _stale(root, table, every, sound[table])
        yield from _misnamed(root, table, sound[table])
        yield from _doubled(root, table, sound[table])
    yield from _orphans(root, sound)


def _unreadable(root: Root, table: str, sound: list[Held]) -> Iterator[Finding]:
    """Find files that are not the table's, or damaged; the others go into `sound`."""
    for name in files.listed(root, table):
        if not name.endswith(".parquet"):
            yield _aside(root, table, name, "not written by prepe")
    for stem in (stem for kind in stems(root, table) for stem in kind):
        name = f"{stem}.parquet"
        try:
            held = footer(root, table, stem)
            check_rows(of_files(root, table, [held]))
        except Gone:
            continue
        except Unanswered:
            raise
        except PrepeError as error:
            fault = str(error).removeprefix(f"{files.place(root, table, name)}: ").partition(";")[0]
            newer = "written with schema" in fault
            yield (
                Finding(f"{table}/{name}", fault, "install a newer prepe")
                if newer
                else _aside(root, table, name, fault)
            )
        else:
            sound.append(held)


def _aside(root: Root, table: str, name: str, fault: str) -> Finding:
    return Finding(f"{table}/{name}", fault, "set aside", mend=lambda: set_aside(root, table, name))


def _stale(root: Root, table: str, every: list[Held], kinds: _Kinds) -> Iterator[Finding]:
    counting = {each.stem for kind in kinds for each in kind}
    for each in every:
        if each.stem not in counting:
            name = f"{each.stem}.parquet"
            fault = "left by a compaction that was killed; another file has its rows"
            yield Finding(f"{table}/{name}", fault, "remove", mend=_call(compact.sweep_up, root, table))


def _misnamed(root: Root, table: str, kinds: _Kinds) -> Iterator[Finding]:
    """Find files with rows of another name than theirs, such as copies: readers would count these twice."""
    own = {each.stem for each in kinds[0]}
    for each in kinds[0]:
        rows = scanned(of_files(root, table, [each]), {"name": name_of_row(table)})
        names = rows["name"].unique().to_pylist()
        if names not in ([], [each.stem]):
            other = names[0] if len(names) == 1 else f"{len(names)} files"
            if len(names) == 1 and other not in own:
                source, target = (table, f"{each.stem}.parquet"), (table, f"{other}.parquet")
                mend = _call(files.move, root, source, target)
                yield Finding(f"{table}/{each.stem}.parquet", f"has the rows of {other}", "rename", mend=mend)
            else:
                yield _aside(root, table, f"{each.stem}.parquet", f"has the rows of {other}")


def _doubled(root: Root, table: str, kinds: _Kinds) -> Iterator[Finding]:
    """Find rows that stand twice, in one file or in several that `compact` made."""
    keys = [*KEYS[table], *(["digest"] if table == "proposals" else [])]
    for each in (*kinds[0], *kinds[1]):
        rows = scanned(of_files(root, table, [each]), keys)
        if (again := len(rows) - len(distinct(rows, keys))) > 0:
            mend = _call(_write_once, root, table, each, keys)
            yield Finding(f"{table}/{each.stem}.parquet", f"{again} rows stand twice", "keep one of each", mend=mend)
    if kinds[2]:
        *_, (rows, kept) = counted(root, table, ([], [], kinds[2]))
        pairs = scanned(rows, keys, kept)
        if (again := len(pairs) - len(distinct(pairs, keys))) > 0:
            mend = _call(compact.fold_once, root, table, kinds[2])
            yield Finding(table, f"{again} rows stand twice in compacted files", "keep one of each", mend=mend)


def _write_once(root: Root, table: str, each: Held, keys: list[str]) -> None:
    rows = distinct(scanned(of_files(root, table, [each])), keys)
    tags = {name: value for name, value in each.tags.items() if name == FOLDS}
    put(root, table, each.stem, serialize(table, rows, tags))


def _orphans(root: Root, sound: dict[str, _Kinds]) -> Iterator[Finding]:
    """Find rows without what they are rows of: what a worker writes last says that the others are whole."""
    trials, models = (_columns(root, table, sound, ["trial", "block", "model"]) for table in ("trials", "models"))
    whole_trials, whole_models = _joined(trials, "trial"), _joined(models, "model")
    for table in ("members", "stages", "effects", "items"):
        yield from _outside(
            root, table, sound, name_of_row(table), whole_trials, "of a trial's block that is not whole"
        )
    for table in ("history", "snapshots", "checkpoints"):
        yield from _outside(
            root, table, sound, name_of_row(table), whole_models, "of a model's block that is not whole"
        )
    measured = _joined(_columns(root, "members", sound, ["trial", "block"]), "trial")
    yield from _outside(root, "trials", sound, name_of_row("trials"), measured, "of a trial without members")
    yield from _outside(
        root, "trials", sound, pc.field("model"), models["model"], "of a trial whose model is not stored"
    )
    complete = (pc.field("state") == "complete") & ~pc.field("trial").isin(trials["trial"].unique())
    yield from _found(root, "proposals", sound, complete, "of a finished trial of which nothing else is stored")


def _columns(root: Root, table: str, sound: dict[str, _Kinds], columns: list[str]) -> pa.Table:
    names = [name for name in columns if name in SCHEMAS[table].names]
    parts = counted(root, table, sound[table])
    return pa.concat_tables([scanned(rows, names, kept) for rows, kept in parts])


def _joined(rows: pa.Table, first: str) -> pa.ChunkedArray:
    pairs = rows.group_by([first, "block"]).aggregate([])
    return pc.binary_join_element_wise(pairs[first], pairs["block"], "-")


def _outside(
    root: Root, table: str, sound: dict[str, _Kinds], value: pc.Expression, known: pa.ChunkedArray, fault: str
) -> Iterator[Finding]:
    names = known.cast(pa.string()).combine_chunks()  # of no rows there are no chunks, and these have no type
    yield from _found(root, table, sound, ~value.isin(names), fault)


def _found(root: Root, table: str, sound: dict[str, _Kinds], where: pc.Expression, fault: str) -> Iterator[Finding]:
    """Find, file by file, rows for which a condition is true, but in files that were just written."""
    own, published, folded = sound[table]
    for each in (*own, *published, *folded):
        one = of_files(root, table, [each])
        if not (out := count(one, where)):
            continue
        state = files.state(root, table, f"{each.stem}.parquet")
        if state is None or time.time() - state[1] / 1e9 < (0 if each.stem.endswith(COMPACTED) else _UNFINISHED_S):
            continue
        mend = _call(take_out, root, table, where, aside=True, only=[each.stem])
        yield Finding(f"{table}/{each.stem}.parquet", f"{out} rows {fault}", "set aside", mend=mend)


def _call(act: Callable[..., object], *arguments: object, **options: object) -> Callable[[], object]:
    return lambda: act(*arguments, **options)
