"""What tests/bench/cluster_model.py assumes, measured: the driver's, the sampler's, the store's costs, and real runs.

``make bench ARGS="--part costs"`` takes minutes, and writes tests/bench/cluster_costs.json: a value for each of the
model's costs, and sweeps that really ran, for the model to be compared with.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from prepe import store, sweep
from prepe.launch import cluster, tune
from prepe.launch.job import failure
from prepe.launch.progress import Progress
from prepe.launch.searcher import Queue
from tests.bench.cluster_model import COSTS
from tests.bench.scale import TINY

SLOTS = (2, 40)
"""How many workers sleep at once; more want more memory."""
REAL_TRIALS, REAL_MEMBERS = 24, 8


def all_costs() -> dict[str, Any]:
    """Measure everything."""
    few, many = (_slots(each, 0.04 * each, 700) for each in SLOTS)
    each_slot = _other("tests.bench.waiting")
    short = _slots(8, 1.0, 100)
    busiest = _slots(16, 0.08, 1500)
    real = _other("tests.bench.costs", "real")
    local_s, remote_s, files = write_s()
    tpe = queue_ms("tpe", 800)
    costs = {
        "driver_ms": few["driver_ms"] - few["queue_ms"],
        "driver_ms_per_slot": each_slot["ms_per_slot"],
        "start_ms": (many["starting_ms"] - few["starting_ms"]) / (many["slots"] - few["slots"]),
        "worker_start_s": real["worker_start_s"],
        "random_ms": _mean(queue_ms("random", 400)),
        "nsga2_ms": _mean(queue_ms("nsga2", 400)),
        **_line(tpe),
        "write_s": remote_s,
        "log_sd": spread(),
    }
    return {
        "costs": costs,
        "also": {"write_local_s": local_s, "files_per_trial": files},
        "real": real,
        "sleeping": [few, many, short, busiest],
    }


def queue_ms(sampler: str, trials: int) -> list[float]:
    """Return what each trial of a sweep costs its queue: to propose it, and to tell the study and the journal of it.

    In milliseconds of processor time, as the driver's are.
    """
    text = TINY.read_text().replace('trials = 3\nsampler = "random"', f'trials = {trials}\nsampler = "{sampler}"')
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "queue.toml"
        file.write_text(text)
        queue = Queue(sweep.load(file), Path(folder) / "results")
        took_ms = []
        for _ in range(trials):
            began = time.thread_time()
            (proposal,) = queue.take()
            asked = time.thread_time()
            start = queue.sweep.start()
            value = sum(abs(float(proposal.params[name]) - float(start[name])) for name in start)
            row = failure(queue.sweep, proposal, "") | {"state": "complete", "feasible": True, "error": None}
            row["objectives"] = {each.name: value + i for i, each in enumerate(queue.sweep.objectives)}
            row["constraints"] = {each.name: 0.0 for each in queue.sweep.constraints}
            made = time.thread_time()
            queue.finish(proposal, row | {"busy_s": 0.0, "created": datetime.now(UTC)})
            took_ms.append(1000 * (asked - began + time.thread_time() - made))
    return took_ms


def write_s() -> tuple[float, float, int]:
    """Return the median seconds of storing a trial's rows in a folder and in a bucket of moto's server; its files too.

    The rows are those of a tiny trial; moto's server is on this machine, so that no network is in it.
    """
    sys.path.insert(0, "tests")
    from store.bucket import BUCKET, environment, serve  # tests/ is where pytest looks for it

    with tempfile.TemporaryDirectory() as folder:
        _prepe("run", TINY, "--executor", "serial", "--results", Path(folder) / "made")
        trial = [
            (path.parent.name, pq.read_table(path))
            for path in sorted(Path(folder, "made").glob("*/*.parquet"))
            if path in {min(path.parent.glob("*.parquet"))}
        ]
        local = _stored_s(Path(folder) / "local", trial)
        with serve() as port:
            os.environ |= environment(port)
            remote = _stored_s(store.default_root(f"s3://{BUCKET}/costs"), trial)
    return local, remote, len(trial)


def _stored_s(root: store.Root, trial: list[tuple[str, Any]]) -> float:
    took = []
    for number in range(30):
        began = time.perf_counter()
        for table, rows in trial:
            store.write(root, table, f"trial-{number}", rows)
        took.append(time.perf_counter() - began)
    return sorted(took)[len(took) // 2]


def spread() -> float:
    """Return how much the published search's trials differ in seconds: the standard deviation of the logarithm."""
    sql = "SELECT stddev(ln(busy_s)) AS s FROM proposals WHERE sweep = 'prune-red-search' AND state = 'complete'"
    return float(store.query(Path("published"), sql).to_pylist()[0]["s"])


def real() -> dict[str, Any]:
    """Run a small search of the main job with two workers, and say how long all of it and each of its trials took."""
    text = Path("sweeps/delete-red.toml").read_text(encoding="utf-8")
    for old, new in (
        ("members = 16", f"members = {REAL_MEMBERS}"),
        ('sampler = "tpe"', 'sampler = "random"'),
        ("trials = 24", f"trials = {REAL_TRIALS}"),
    ):
        text = text.replace(old, new)
    for name, value in tune.SILENCE.items():
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder) / "real.toml"
        file.write_text(text, encoding="utf-8")
        queue = Queue(sweep.load(file), Path(folder) / "results")
        cluster.start()
        began = datetime.now(UTC)
        progress = Progress(queue.sweep, queue.total, [])
        tune.run(queue, progress, device="cpu", folders=[], address=None, session=stack)
        rows = sorted(queue.done, key=lambda row: row["number"])
    first = min(row["created"].timestamp() - row["busy_s"] for row in rows)
    return {
        "trials": len(rows),
        "workers": 2,
        "wall_s": max(row["created"].timestamp() for row in rows) - began.timestamp(),
        "worker_start_s": first - began.timestamp(),
        "busy_s": [round(row["busy_s"], 3) for row in rows],
    }


def _slots(slots: int, sleep_s: float, trials: int) -> dict[str, Any]:
    return _other("tests.bench.slots", str(slots), f"{sleep_s:g}", str(trials))


def _other(module: str, *arguments: str) -> dict[str, Any]:
    """Run a module in a process of its own and return the JSON that it printed."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{module} {' '.join(arguments)} failed:\n{done.stderr}")
    line = [each for each in done.stdout.splitlines() if each.startswith("{")][-1]  # Ray may have its say after it
    print(f"{module} {' '.join(arguments)}: {line}", flush=True)
    return json.loads(line)  # type: ignore[no-any-return]


def _prepe(*arguments: Any) -> None:
    subprocess.run([sys.executable, "-m", "prepe.cli", *map(str, arguments)], capture_output=True, check=True)


def _mean(values: list[float]) -> float:
    late = values[len(values) // 4 :]
    return sum(late) / len(late)


def _line(values: list[float]) -> dict[str, float]:
    """Return the line that goes best through what TPE's trials cost, after its random ones."""
    n = range(len(values) // 10, len(values))
    mid_n, mid = sum(n) / len(n), sum(values[i] for i in n) / len(n)
    slope = sum((i - mid_n) * (values[i] - mid) for i in n) / sum((i - mid_n) ** 2 for i in n)
    return {"tpe_ms": mid - slope * mid_n, "tpe_ms_per_trial": slope}


def main() -> None:
    """Measure all, write it down and print it; or, with `real`, that part alone, as JSON."""
    if sys.argv[1:] == ["real"]:
        print(json.dumps(real()))
        return
    measured = all_costs()
    COSTS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    for name, value in measured["costs"].items():
        print(f"{name} {value:.4g}")
    print(f"written to {COSTS}")


if __name__ == "__main__":
    main()
