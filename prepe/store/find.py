"""What a user typed in; the trial or the sweep of a store that is meant out."""

import json
import time
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from prepe.catalog import unknown
from prepe.errors import PrepeError
from prepe.store import files
from prepe.store.gone import while_folded
from prepe.store.parts import parts_compacted, stems
from prepe.store.read import check_store, first_block, last_version, read, rows_of
from prepe.store.root import Root
from prepe.store.schema import SCHEMAS

_SILENT_S = 60.0
"""After how long a driver that says it runs, every ten seconds, was killed."""

_LEAST_DIGITS = 4
_MOST_NAMED = 8


def trial_named(root: Root, prefix: str) -> dict[str, Any]:
    """Find a trial by its name or the beginning of it, as `SWEEP:VARIANT`, or as a sweep that has one trial.

    Args:
        root: the store's folder.
        prefix: at least four of the name's hexadecimal digits, as many as tell it from the others; or a sweep.

    Returns:
        The columns of its first row in `trials` (all None if it has none, as a trial that failed), but for: `trial`;
        `seeds`, all that are stored, in order; `blocks`, the names of their blocks; `proposals`, its rows there, with
        `params` and every map as dictionaries.

    Raises:
        PrepeError: if no trial begins so, or several do; or the sweep has no such variant, or several trials.
    """
    check_store(root)
    proposed = proposal_named(root, prefix)
    trial = proposed["trial"] if proposed else _chosen(root, prefix.strip().lower())
    blocks = first_block(read(root, "trials", names=f"{trial}-*"), ["block"]).to_pylist()
    names = f"*-{trial}"
    sweeps = read(root, "proposals", columns=["sweep"], names=names)["sweep"].unique()  # in whose order large files are
    proposals = read(root, "proposals", pc.field("sweep").isin(sweeps), names=names).to_pylist()
    first = blocks[0] if blocks else dict.fromkeys(SCHEMAS["trials"].names)
    return {
        **{name: value for name, value in first.items() if name != "block"},
        "trial": trial,
        "seeds": sorted({seed for block in blocks for seed in block["seeds"] or ()}),
        "blocks": [block["block"] for block in blocks],
        "proposals": [_opened(row) for row in sorted(proposals, key=lambda row: (row["sweep"], row["number"]))],
    }


def proposal_named(root: Root, name: str) -> dict[str, Any] | None:
    """Find what a sweep proposed, by `SWEEP:VARIANT`, or by the sweep alone where it has one trial.

    Returns:
        The columns of its row in `proposals`, of the last version of the sweep's file, with `params` as a dictionary;
        None where the name has no colon and is no sweep's, and so may be a trial's.

    Raises:
        PrepeError: there is no such sweep or variant, or several trials.
    """
    sweep, colon, variant = name.strip().rpartition(":")
    if not colon and not _is_sweep(root, name):
        return None
    sweep = sweep_named(root, sweep if colon else name.strip())
    rows = last_version(read(root, "proposals", pc.field("sweep") == sweep)).sort_by("number").to_pylist()
    rows = [_opened(row) for row in rows]
    rows = [row for row in rows if row["state"] == "complete"] or ([] if colon else rows)
    variants = list(dict.fromkeys(row["params"]["variant"] for row in rows if "variant" in row["params"]))
    found = [row for row in rows if row["params"].get("variant") == variant] if colon else rows
    if not found:
        raise PrepeError(f"sweep {sweep}: {unknown(variant, variants, 'variant')}")
    trials = list(dict.fromkeys(row["trial"] for row in found))
    if len(trials) > 1:
        named = [f"{sweep}:{each}" for each in variants] if not colon and len(variants) == len(trials) else trials
        said = (
            f"{sweep}:{variant}: {len(trials)} trials have this variant" if colon else f"{sweep}: {len(trials)} trials"
        )
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        raise PrepeError(f"{said}; allowed: one of {', '.join(named[:_MOST_NAMED])}{more}")
    return found[0]


def _is_sweep(root: Root, name: str) -> bool:
    return Path(name.strip()).name.removesuffix(".toml") in _sweeps(root)


def sweep_named(root: Root, name: str) -> str:
    """Find a sweep of a store by its name or by the path of its file, such as `sweeps/ex-2.9.1.toml`.

    Raises:
        PrepeError: listing the sweeps of the store, if this is none of them.
    """
    check_store(root)
    sweep = Path(name).name.removesuffix(".toml")
    sweeps = sorted(_sweeps(root))
    if sweep not in sweeps:
        raise PrepeError(f"{root}: {unknown(sweep, sweeps, 'sweep')}")
    return sweep


def _sweeps(root: Root) -> set[str]:
    """Return the names of a store's sweeps, which names of files tell, so that few have to be opened."""
    own, _ = stems(root, "proposals")
    named = {stem.rpartition("-")[0] for stem in own}
    if "" in named:  # a file of another name than its rows
        return set(_distinct(root, "proposals", "sweep"))
    compacted = while_folded(lambda: rows_of(parts_compacted(root, "proposals"), columns=["sweep"]))
    return named | set(compacted["sweep"].unique().to_pylist())


def running(root: Root) -> set[str]:
    """Return the sweeps that are run into a store now, by what their drivers say (see `prepe.launch.presence`).

    One that has not said so for a minute was killed.
    """
    found = set()
    for name in files.listed(root, "drivers"):
        if name.endswith(".json"):
            try:
                driver = json.loads(files.get(root, "drivers", name) or b"{}")
                if driver.get("state") == "running" and time.time() - driver["seen"] <= _SILENT_S:
                    found.add(name.removesuffix(".json"))
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # torn
    return found


def _distinct(root: Root, table: str, column: str, where: pc.Expression | None = None, names: str = "*") -> list[str]:
    found: pa.Array = read(root, table, where, [column], names)[column].unique().drop_null()
    return [str(value) for value in found.to_pylist()]


def _chosen(root: Root, prefix: str) -> str:
    """Return the one trial whose name begins with a prefix."""
    begins = (pc.field("trial") >= prefix) & (pc.field("trial") < f"{prefix}~")  # what statistics of files tell too
    patterns = {"proposals": f"*-{prefix}*", "trials": f"{prefix}*"}
    found = sorted({name for table in patterns for name in _distinct(root, table, "trial", begins, patterns[table])})
    if prefix in found:
        return prefix
    if len(prefix) < _LEAST_DIGITS:
        raise PrepeError(f"trial {prefix!r}: too short; allowed: at least {_LEAST_DIGITS} digits of a trial's name")
    if len(found) > 1:
        raise PrepeError(f"trial {prefix!r}: {len(found)} begin so in {root}: {', '.join(found)}; give more digits")
    if not found:
        known = sorted({name for table in ("proposals", "trials") for name in _distinct(root, table, "trial")})
        near = get_close_matches(prefix, known, 3, 0.0)
        hint = f", the nearest {', '.join(near)}" if near else ""
        raise PrepeError(f"trial {prefix!r}: none of the {len(known)} trials in {root} begins so{hint}")
    return found[0]


def _opened(proposal: dict[str, Any]) -> dict[str, Any]:
    maps = [field.name for field in SCHEMAS["proposals"] if pa.types.is_map(field.type)]
    opened = {name: dict(proposal[name] or ()) for name in maps}
    return {**proposal, **opened, "params": json.loads(proposal["params"] or "{}")}
