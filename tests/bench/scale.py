"""Many trials through Ray Tune that take no time: what a trial costs the driver, in time and memory.

``python -m tests.bench.scale TRIALS`` prints one line of JSON. Jobs store the row of a made-up outcome, and nothing
else; all else is as in any sweep, with TPE and, past its limit, NSGA-II.
"""

import argparse
import gc
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from prepe import store, sweep
from prepe.launch import cluster, tune
from prepe.launch.job import Proposal, Row, failure, write
from prepe.launch.progress import Progress
from prepe.launch.searcher import Queue
from prepe.sweep import Sweep

TINY = Path(__file__).parents[1] / "tiny.toml"
LAST = 100
"""How many trials at the end the sampler's time is given for."""


def no_work(of: Sweep, proposals: list[Proposal], results: store.Root, device: str, **_: Any) -> Iterator[Row]:
    """Do what `job.work` does, without a trial: every objective is the distance of the parameters from their start."""
    for each in proposals:
        value = sum(abs(float(each.params[name]) - float(start)) for name, start in of.start().items())
        row = failure(of, each, "") | {"state": "complete", "feasible": True, "error": None, "busy_s": 0.0}
        row["objectives"] = {objective.name: value + i for i, objective in enumerate(of.objectives)}
        row["constraints"] = {constraint.name: 0.0 for constraint in of.constraints}
        yield write(results, row)


class Seen(Progress):
    """Notes when trials end, and how much processor time and memory this process has used by then."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given, Console(file=io.StringIO(), force_terminal=True))
        self.at: list[float] = []
        self.cpu: list[float] = []
        self.memory: list[int] = []

    def finished(self, row: Row) -> None:
        if len(self.at) % 100 == 0:
            gc.collect()
        self.members[row["trial"]] = row["members"]
        self.at.append(time.perf_counter())
        self.cpu.append(time.process_time())
        self.memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))


def timed(method: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Return a method that notes how long it takes."""

    def again(*given: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return method(*given, **named)
        finally:
            seconds.append(time.perf_counter() - began)

    return again


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", type=int)
    options = parser.parse_args()
    for name, value in tune.SILENCE.items():
        os.environ.setdefault(name, value)
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder) / "scale.toml"
        file.write_text(TINY.read_text().replace('trials = 3\nsampler = "random"', f"trials = {options.trials}"))
        queue = Queue(sweep.load(file), Path(folder) / "results")
        assert queue.study is not None
        for name in ("ask", "tell", "outgrow"):
            setattr(queue.study, name, timed(getattr(queue.study, name), seconds))
        seen = Seen(queue.sweep, queue.total, [])
        cluster.start()
        tune.run(queue, seen, device="cpu", folders=[TINY.parents[1]], address=None, session=stack, work=no_work)
    first = options.trials // 5  # until then the processes start, and all of what is needed is loaded
    trials = options.trials - first
    last = seconds[-3 * LAST :]
    late = min(trials, 600)
    print(
        json.dumps(
            {
                "trials": len(seen.at),
                "ms_per_trial": 1000 * (seen.at[-1] - seen.at[first - 1]) / trials,
                "ms_at_end": 1000 * (seen.at[-1] - seen.at[-late]) / (late - 1),
                "cpu_ms_per_trial": 1000 * (seen.cpu[-1] - seen.cpu[first - 1]) / trials,
                "cpu_ms_at_end": 1000 * (seen.cpu[-1] - seen.cpu[-late]) / (late - 1),
                "kb_per_trial": (seen.memory[-1] - seen.memory[first - 1]) / 1000 / trials,
                "sampler_ms_per_trial": 1000 * sum(seconds) / options.trials,
                "sampler_ms_at_end": 1000 * sum(last) / (len(last) / 3),
            }
        )
    )


if __name__ == "__main__":
    main()
