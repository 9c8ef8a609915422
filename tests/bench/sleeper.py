"""A worker that sleeps: packs of proposals in, rows of made-up outcomes out, without PyTorch and without a store.

It says to the driver just what `prepe.launch.worker.Job` does, and is so small that many fit into one machine, where
they take none of the driver's processor time.
"""

import json
import os
import time
from datetime import UTC, datetime
from typing import Any

from ray import tune

SLEEP = "PREPE_BENCH_SLEEP_S"
"""The variable that says how long a trial sleeps."""


class Sleeper(tune.Trainable):
    """Sleeps for every proposal, one a step; every objective is the distance of the parameters from their start."""

    def setup(self, config: dict[str, Any], **given: Any) -> None:
        self.sweep = given["sweep"]
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.proposals = list(new_config["proposals"])
        return True

    def step(self) -> dict[str, Any]:
        began, proposal = time.perf_counter(), self.proposals.pop(0)
        time.sleep(float(os.environ[SLEEP]))
        value = sum(abs(float(proposal["params"][name]) - float(start)) for name, start in self.sweep.start().items())
        row = {
            "sweep": self.sweep.name,
            "number": proposal["number"],
            "trial": self.sweep.trial(proposal["params"]).digest(),
            "params": json.dumps(proposal["params"]),
            "members": proposal["members"],
            "first_seed": self.sweep.first_seed,
            "state": "complete",
            "feasible": True,
            "error": None,
            "objectives": {objective.name: value + i for i, objective in enumerate(self.sweep.objectives)},
            "constraints": {constraint.name: 0.0 for constraint in self.sweep.constraints},
            "busy_s": time.perf_counter() - began,
            "pid": os.getpid(),
            "created": datetime.now(UTC).isoformat(),
        }
        return {
            "number": proposal["number"],
            "row": json.dumps(row),
            "unseen_gpu": False,
            "done": not self.proposals,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""
