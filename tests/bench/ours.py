"""The job in prepe: 60 members at once, one thread, through autograd.

``python -m tests.bench.ours`` prints one line of JSON.
"""

import argparse
import json
import time

import numpy as np
import torch

from prepe import sweep, train


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    training = sweep.load("sweeps/ex-2.9.1.toml").trial({}).training
    seeds = list(range(options.members))
    warm = training.model_copy(update={"schedule": training.schedule.model_copy(update={"steps": 100})})
    train.train(warm, seeds, device="cpu")
    seconds = []
    for _ in range(options.repeats):
        start = time.process_time()
        train.train(training, seeds, device="cpu")
        seconds.append((time.process_time() - start) / options.members)
    result = {
        "comparator": "ours",
        "members": options.members,
        "run_cpu_s_per_member": float(np.median(seconds)),
        "run_cpu_s_min": min(seconds),
        "run_cpu_s_max": max(seconds),
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
