"""Many workers that sleep: what a trial, and a worker's start, cost the driver when so many are at work at once.

``python -m tests.bench.slots SLOTS SLEEP_S TRIALS`` prints one line of JSON. The driver is a real one with Ray Tune, at
random sampling; its time is that of its main thread, in which all of Tune runs. A worker takes about 0.1 GB.
"""

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from prepe import sweep
from prepe.launch import cluster, tune
from prepe.launch.progress import Progress
from prepe.launch.searcher import Queue
from tests.bench.scale import TINY
from tests.bench.sleeper import SLEEP, Sleeper


class Seen(Progress):
    """Notes when trials end, and by then the main thread's processor time and how many workers there were."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given, Console(file=io.StringIO(), force_terminal=True))
        self.at: list[float] = []
        self.cpu: list[float] = []
        self.processes: set[int] = set()
        self.up: list[int] = []

    def finished(self, row: dict[str, Any]) -> None:
        self.members[row["trial"]] = row["members"]
        self.processes.add(row["pid"])
        self.up.append(len(self.processes))
        self.at.append(time.perf_counter())
        self.cpu.append(time.thread_time())


def timed(method: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Return a method that notes the processor time of its thread."""

    def again(*given: Any, **named: Any) -> Any:
        began = time.thread_time()
        try:
            return method(*given, **named)
        finally:
            seconds.append(time.thread_time() - began)

    return again


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slots", type=int)
    parser.add_argument("sleep_s", type=float)
    parser.add_argument("trials", type=int)
    options = parser.parse_args()
    for name, value in tune.SILENCE.items():
        os.environ.setdefault(name, value)
    os.environ[SLEEP] = str(options.sleep_s)
    cluster.processors = lambda: options.slots
    tune.Job, tune._JOBS = Sleeper, options.trials + 1  # one Tune does all
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder) / "slots.toml"
        file.write_text(TINY.read_text().replace("trials = 3", f"trials = {options.trials}"))
        queue = Queue(sweep.load(file), Path(folder) / "results")
        for name in ("take", "finish"):
            setattr(queue, name, timed(getattr(queue, name), seconds))
        seen = Seen(queue.sweep, queue.total, [])
        cluster.start()
        began, cpu_began = time.perf_counter(), time.thread_time()
        tune.run(queue, seen, device="cpu", folders=[], address=None, session=stack, work=iter)
    all_up = next((i for i, up in enumerate(seen.up) if up == options.slots), 0)
    first = max(all_up, 2 * options.slots)
    last = options.trials - options.slots  # from then on they become fewer
    trials = last - first
    cpu_ms = 1000 * (seen.cpu[last] - seen.cpu[first]) / trials
    queue_ms = 1000 * sum(seconds) / options.trials
    print(
        json.dumps(
            {
                "slots": options.slots,
                "sleep_s": options.sleep_s,
                "trials": options.trials,
                "first": first,
                "processes": len(seen.processes),
                "wall_s": seen.at[-1] - began,
                "trials_per_s": trials / (seen.at[last] - seen.at[first]),
                "driver_ms": cpu_ms,
                "queue_ms": queue_ms,
                "worker_start_s": seen.at[0] - began - options.sleep_s,
                "starting_ms": 1000 * (seen.cpu[first] - cpu_began) - first * cpu_ms,
            }
        )
    )


if __name__ == "__main__":
    main()
