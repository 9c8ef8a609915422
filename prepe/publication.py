"""Sweeps of a store in; the same rows as a few small files of another store, and the sweeps' figures, out.

What is published is what a reader needs who does not train: no history, no snapshots, no checkpoints. The other store
has one file a table and sweep, `<table>/<sweep>.all.parquet`, and is read like any.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from prepe import store
from prepe.errors import PrepeError
from prepe.store import files

_OF_MODELS = ("models", "history", "snapshots", "checkpoints")
_OF_TRIALS = ("trials", "members", "effects", "stages", "items")
_MB = 1e6
FIGURES = "figures"


@dataclass(frozen=True)
class Published:
    """What was published of a sweep.

    Attributes:
        sweep: its name.
        trials: how many trials of the last version of its file.
        members: the largest number of their members.
        files: paths below the other store, and their sizes in bytes.
        left_out: rows of which sets of `items` were left out, since the file would have been too large.
    """

    sweep: str
    trials: int
    members: int
    files: dict[str, int]
    left_out: list[str]


@dataclass
class _Parcel:
    """The files of a sweep, before any is written."""

    sweep: str
    proposals: pa.Table
    tables: dict[str, pa.Buffer] = field(default_factory=dict)
    figures: dict[str, bytes] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def stem(self) -> str:
        return f"{self.sweep}{store.COMPACTED}"

    def sizes(self) -> dict[str, int]:
        named = {f"{table}/{self.stem}.parquet": content.size for table, content in self.tables.items()}
        return named | {f"{FIGURES}/{name}": len(content) for name, content in self.figures.items()}


def publish(
    names: Iterable[str],
    to: store.Root,
    results: store.Root,
    max_mb: float = 2.0,
    figures: str = "*",
    *,
    whole: bool = False,
) -> list[Published]:
    """Copy sweeps of a store into another one, in place of what was published of them before.

    Everything is read and measured before anything is written; a sweep that an interruption leaves half written is not
    there for readers of the other store.

    Args:
        names: sweeps of the store, or their files.
        to: the other store; a folder is made when it does not exist.
        results: the store.
        max_mb: how large a file may be, in megabytes of 10^6 bytes. Of items too large all but the named ones are left
            out, or all.
        whole: copy history, snapshots and checkpoints too, whatever their size, as into a store to go on in.
        figures: a pattern of the names of figures to copy, such as `"*-before-after*"`; none with `""`.

    Raises:
        PrepeError: there is no such sweep, or none of its trials is complete; a sweep has no figure that fits a pattern
            other than `"*"`; a file is too large, or cannot be read or written; the two stores are one.
    """
    if store.absolute(to) == store.absolute(results):
        raise PrepeError(f"{to}: it is the store itself; allowed: another folder")
    max_mb = math.inf if whole else max_mb
    sweeps = list(dict.fromkeys(store.sweep_named(results, name) for name in names))
    parcels = [_parcel(results, sweep, max_mb, figures, _OF_MODELS if whole else _OF_MODELS[:1]) for sweep in sweeps]
    for parcel in parcels:
        _write(to, parcel)
    return [_published(parcel) for parcel in parcels]


def _published(parcel: _Parcel) -> Published:
    complete = parcel.proposals.filter(pc.field("state") == "complete")
    members = max(complete["members"].to_pylist())
    return Published(parcel.sweep, len(complete), members, parcel.sizes(), parcel.left_out)


def _parcel(results: store.Root, sweep: str, max_mb: float, figures: str, of_models: Iterable[str]) -> _Parcel:
    proposals = store.last_version(store.read(results, "proposals", pc.field("sweep") == sweep))
    if "complete" not in proposals["state"].to_pylist():
        raise PrepeError(f"sweep {sweep}: none of its trials is complete, so there is nothing to publish")
    parcel = _Parcel(sweep, proposals)
    own = _seeds(proposals)
    rows = {table: _of(results, table, "trial", proposals["trial"]) for table in _OF_TRIALS}
    rows["trials"] = rows["trials"].filter([not own.isdisjoint(each) for each in rows["trials"]["seeds"].to_pylist()])
    rows |= {
        table: content.filter(pc.field("seed").isin(sorted(own)))
        for table, content in rows.items()
        if "seed" in content.column_names
    }
    models = pa.chunked_array([*rows["trials"]["model"].chunks, *rows["trials"]["twin"].chunks], pa.string())
    for table in of_models:
        rows[table] = _of(results, table, "model", models)
        if "seed" in rows[table].column_names:
            rows[table] = rows[table].filter(pc.field("seed").isin(sorted(own)))
    rows["proposals"] = proposals
    for table, content in rows.items():
        if len(content):
            parcel.tables[table] = _sorted(table, content)
    if parcel.tables.get("items", pa.py_buffer(b"")).size > max_mb * _MB:
        parcel.left_out = sorted(set(rows["items"]["set"].to_pylist()) - {"named"})
        parcel.tables["items"] = _sorted("items", rows["items"].filter(pc.field("set") == "named"))
    if parcel.tables.get("items", pa.py_buffer(b"")).size > max_mb * _MB:
        parcel.left_out = sorted(set(rows["items"]["set"].to_pylist()))
        del parcel.tables["items"]
    drawn = _drawn(results, sweep)
    shown = [name for name in drawn if fnmatchcase(name, figures)]
    if figures not in ("", "*") and not shown:
        known = ", ".join(drawn) or "none is drawn"
        raise PrepeError(f"--figures {figures!r}: no figure of {sweep} fits; allowed: {known}; see: prepe draw {sweep}")
    parcel.figures = {name: drawn[name].read_bytes() for name in shown}
    for name, size in parcel.sizes().items():
        if size > max_mb * _MB:
            raise PrepeError(f"{name}: it would have {size / _MB:.2f} MB; allowed: {max_mb:g}, or more with --max-mb")
    return parcel


def _seeds(proposals: pa.Table) -> set[int]:
    """Return the seeds that a sweep asked for: another one may have asked for more of the same trials."""
    ranges = zip(proposals["first_seed"].to_pylist(), proposals["members"].to_pylist(), strict=True)
    return {seed for first, members in ranges for seed in range(first, first + members)}


def _of(results: store.Root, table: str, column: str, names: pa.ChunkedArray) -> pa.Table:
    rows = store.read(results, table, pc.field(column).isin(names.unique().drop_null()))
    return store.distinct(rows, store.KEYS[table])  # as a trial that two sweeps published


def _sorted(table: str, rows: pa.Table) -> pa.Buffer:
    """Return a file's content: the same rows make the same bytes, and rows that are alike are neighbours.

    Effects of a member stay in the order of the file's interventions, of which figures show the first.
    """
    keys = [key for key in store.KEYS[table] if (table, key) != ("effects", "intervention")]
    return store.serialize(table, rows.sort_by([(key, "ascending") for key in keys]))


def _drawn(results: store.Root, sweep: str) -> dict[str, Path]:
    """Return the paths of the figures that were drawn of a sweep, by their names."""
    folder = store.local_folder(results)
    return {name: folder / FIGURES / name for name in _figures(results, sweep, files.listed(folder, FIGURES))}


def _figures(root: store.Root, sweep: str, names: Iterable[str]) -> list[str]:
    """Choose a sweep's figures: `<sweep>.png` and `<sweep>-what.png`, unless that begins with a longer sweep's name."""
    known = {*store.read(root, "proposals", columns=["sweep"])["sweep"].to_pylist(), sweep}
    return [name for name in names if max((each for each in known if _names(each, name)), key=len, default="") == sweep]


def _names(sweep: str, figure: str) -> bool:
    return Path(figure).stem == sweep or figure.startswith(f"{sweep}-")


def _write(to: store.Root, parcel: _Parcel) -> None:
    """Write a sweep's files; its proposals go first and come last, since without them no reader sees the others."""
    tables = ("proposals", *_OF_MODELS, *_OF_TRIALS)
    old = [(table, f"{parcel.stem}.parquet") for table in tables]
    old += [(FIGURES, name) for name in _figures(to, parcel.sweep, files.listed(to, FIGURES))]
    new = {(table, f"{parcel.stem}.parquet") for table in parcel.tables.keys() - {"proposals"}}
    new |= {(FIGURES, name) for name in parcel.figures}
    for each in old:
        if each not in new and files.is_there(to, *each):
            files.remove(to, *each)
    for name, content in parcel.figures.items():
        files.put(to, (FIGURES, name), content)
    for table in sorted(parcel.tables, key=lambda each: each == "proposals"):
        store.put(to, table, parcel.stem, parcel.tables[table])
