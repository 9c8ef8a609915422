"""What Tune does at every event with all workers' unfinished calls: what each of them adds.

``python -m tests.bench.waiting`` prints one line of JSON. It reaches sizes that ``tests.bench.slots`` cannot, since the
calls are all of one small process: Tune's list of calls, shuffled, in Ray's own wait, which looks at each of them.
"""

import asyncio
import json
import os
import random
import time

import ray

from prepe.launch import cluster, tune

SIZES = (8, 80, 200, 400, 800)
EVENTS = 200
EVENTS_A_TRIAL = 2
"""A result, and a worker's being given its next trial."""


@ray.remote(num_cpus=0, max_concurrency=1000)
class _Asleep:
    async def call(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def event_ms(calls: set[ray.ObjectRef]) -> float:
    """Return the mean milliseconds of waiting for the next of some calls, of which none has ended."""
    began = time.thread_time()
    for _ in range(EVENTS):
        shuffled = list(set(calls))
        random.shuffle(shuffled)
        ray.wait(shuffled, num_returns=1, timeout=0)
    return 1000 * (time.thread_time() - began) / EVENTS


def main() -> None:
    """Measure and print one line of JSON."""
    for name, value in tune.SILENCE.items():
        os.environ.setdefault(name, value)
    cluster.start()
    asleep = _Asleep.remote()
    ray.get(asleep.call.remote(0))
    took = {}
    for size in SIZES:
        calls = {asleep.call.remote(600) for _ in range(size)}
        took[size] = event_ms(calls)
        del calls
    ray.shutdown()
    slope = (took[SIZES[-1]] - took[SIZES[0]]) / (SIZES[-1] - SIZES[0])
    print(json.dumps({"event_ms": took, "ms_per_slot": EVENTS_A_TRIAL * slope}))


if __name__ == "__main__":
    main()
