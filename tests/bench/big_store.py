"""A store of a million trials and ten million effects, compacted, made of random numbers; and what reading it costs.

``python -m tests.bench.big_store FOLDER`` makes one of 100 sweeps of 10 000 trials, ten effects each, in about three
minutes; ``--trials`` takes fewer. Every trial has five members, and two interventions were measured on each.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from prepe import store
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS
from prepe.store.compact import replace
from prepe.store.schema import SCHEMAS

TRIALS, SWEEPS, MEMBERS, LABELS = 1_000_000, 100, 5, ("ablate", "suppress")
_AT_ONCE = 100_000
_CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_PARAMS = ("lr", "anchor", "separate", "width")
_OBJECTIVES = ("ablate.score_ccc.median", "task_cost.median")
QUERIES = {
    "top": ["top", "s002"],
    "ls": ["ls"],
    "show": ["show", "TRIAL"],
    "group_by": ["query", "SELECT intervention, count(*), avg(score_ccc) FROM effects GROUP BY intervention"],
    "group_by_sweep": ["query", "SELECT sweep, avg(score_ccc) FROM effects GROUP BY sweep ORDER BY 2 DESC LIMIT 5"],
}


def make(root: Path, trials: int = TRIALS, sweeps: int = SWEEPS) -> str:
    """Write the store, and return the name of one of its trials."""
    rng = np.random.default_rng(0)
    names = np.sort(rng.choice(1 << 62, trials, replace=False))
    for start in range(0, trials, _AT_ONCE):
        digests = pa.array([f"{each:016x}" for each in names[start : start + _AT_ONCE]])
        for table, rows in _tables(rng, digests, start, sweeps):
            replace(root, table, [], rows, ())
    return f"{names[trials // 3]:016x}"


def _tables(rng: np.random.Generator, trial: pa.Array, start: int, sweeps: int) -> Iterator[tuple[str, pa.Table]]:
    count = len(trial)
    numbers = np.arange(start, start + count)
    sweep = numbers % sweeps
    same = {"block": "0-5", "device": "cpu", "cpu_capability": "AVX2", "versions": "{}", "created": _CREATED}
    cost = {
        name: rng.uniform(1, 9, count)
        for name in ("train_s", "twin_train_s", "evaluate_s", "wall_s", "cpu_s", "peak_mb")
    }
    seeds = pa.array([list(range(MEMBERS))] * count)
    spec = pa.array(['{"training": {}, "interventions": []}'] * count)
    yield (
        "trials",
        _table("trials", count, same | cost | {"trial": trial, "model": trial, "seeds": seeds, "spec": spec}),
    )
    params = rng.uniform(0, 1, (count, len(_PARAMS))).round(6)
    values = rng.uniform(-1, 1, (count, len(_OBJECTIVES)))
    proposal = {
        "sweep": pa.array([f"s{each:03d}" for each in sweep]),
        "digest": pa.array([f"{each:016x}" for each in sweep]),
        "number": numbers // sweeps,
        "trial": trial,
        "params": pa.array([json.dumps(dict(zip(_PARAMS, row, strict=True))) for row in params.tolist()]),
        "objectives": pa.array(
            [list(zip(_OBJECTIVES, row, strict=True)) for row in values.tolist()],
            _type("objectives"),
        ),
        "goals": pa.array(
            [[(_OBJECTIVES[0], "maximize"), (_OBJECTIVES[1], "minimize")]] * count,
            _type("goals"),
        ),
        "feasible": rng.random(count) < 0.5,
    }
    same = {
        "state": "complete",
        "members": MEMBERS,
        "first_seed": 0,
        "generation": 0,
        "busy_s": 3.0,
        "created": _CREATED,
    }
    yield "proposals", _table("proposals", count, same | proposal)
    rows = count * MEMBERS
    key = {"trial": trial.take(pa.array(np.repeat(np.arange(count), MEMBERS))), "block": "0-5"}
    key |= {"seed": np.tile(np.arange(MEMBERS), count)}
    yield "members", _table("members", rows, key | {name: rng.normal(size=rows).round(9) for name in MEMBER_METRICS})
    rows = rows * len(LABELS)
    key = {"trial": trial.take(pa.array(np.repeat(np.arange(count), MEMBERS * len(LABELS)))), "block": "0-5"}
    key |= {"seed": np.tile(np.repeat(np.arange(MEMBERS), len(LABELS)), count)}
    key |= {"intervention": pa.array(LABELS).take(pa.array(np.tile(np.arange(len(LABELS)), count * MEMBERS)))}
    key |= {"concept": "red", "direction": "axis 0", "site": "bottleneck", "operator": "ablate", "parameters": "{}"}
    yield "effects", _table("effects", rows, key | {name: rng.normal(size=rows) for name in EFFECT_METRICS})


def _type(column: str) -> pa.DataType:
    return SCHEMAS["proposals"].field(column).type


def _table(table: str, count: int, columns: dict[str, object]) -> pa.Table:
    made = {}
    for name, value in columns.items():
        kind = SCHEMAS[table].field(name).type
        if isinstance(value, pa.Array | pa.ChunkedArray | np.ndarray):
            made[name] = pa.array(value).cast(kind) if isinstance(value, np.ndarray) else value.cast(kind)
        else:
            made[name] = pa.repeat(pa.scalar(value, kind), count)
    return pa.table(made)


def make_small_files(root: Path, count: int = 1000) -> str:
    """Write a store of so many trials that were never compacted, and return the name of one of them."""
    rng = np.random.default_rng(1)
    for i in range(count):
        for table, rows in _tables(rng, pa.array([f"{i:016x}"]), i, 4):
            name = f"s{i % 4:03d}-{i:016x}" if table == "proposals" else f"{i:016x}-0-5"
            store.write(root, table, name, rows)
    return f"{count // 3:016x}"


def measure(root: Path, trial: str) -> dict[str, tuple[float, float]]:
    """Return the wall and CPU seconds of commands, from their start to their end: the least of three."""
    prepe = Path(sys.executable).with_name("prepe")
    environment = {**os.environ, "PREPE_RESULTS": str(root)}
    found = {}
    for name, command in QUERIES.items():
        seconds = []
        for _ in range(3):
            began, before = time.perf_counter(), os.times()
            words = [trial if word == "TRIAL" else word for word in command]
            subprocess.run([str(prepe), *words], env=environment, check=True, stdout=subprocess.DEVNULL)
            after = os.times()
            cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
            seconds.append((time.perf_counter() - began, cpu_s))
        found[name] = min(seconds)
    return found


def main() -> None:
    """Make a store, unless it is there, and say what reading it costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--small-files", action="store_true", help="four files a trial, never compacted")
    options = parser.parse_args()
    if options.folder.exists():
        trial = store.read(options.folder, "trials", columns=["trial"])["trial"][0].as_py()
    elif options.small_files:
        trial = make_small_files(options.folder, options.trials)
    else:
        trial = make(options.folder, options.trials)
    for name, (wall_s, cpu_s) in measure(options.folder, trial).items():
        print(f"{name} {wall_s:.2f} s, CPU {cpu_s:.2f} s")


if __name__ == "__main__":
    main()
