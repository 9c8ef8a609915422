"""What a worker does: packs of proposals in, one after another; a row of each, stored by the worker itself, out."""

import faulthandler
import json
import os
from datetime import datetime
from typing import Any

import torch
from ray import tune

from prepe import custom, store
from prepe.launch.job import Proposal
from prepe.store import patience
from prepe.sweep import Sweep

GRACE_S = 5
"""How long after its timeout a trial is killed that has not failed by itself."""


class Job(tune.Trainable):
    """Does a pack of proposals, one a step, in a process that is used again for the next pack."""

    def setup(self, config: dict[str, Any], **given: Any) -> None:
        self.sweep: Sweep = given["sweep"]
        self.results, self.device = store.default_root(given["results"]), str(given["device"])
        self.work = given["work"]
        os.environ[patience.VARIABLE] = str(given["patience_s"])  # the driver's, wherever this is
        custom.look_in(given["folders"])
        torch.set_num_threads(self.sweep.resources.cpus)
        self.reset_config(config)

    def step(self) -> dict[str, Any]:
        row = next(self.rows)
        done = row["number"] == self.last
        text = json.dumps(row, default=datetime.isoformat)  # Tune would look into a table
        return {"number": row["number"], "row": text, "unseen_gpu": self.unseen_gpu, "done": done}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        proposals = [Proposal(**each) for each in new_config["proposals"]]
        device = self.device if new_config["on_gpu"] or self.device != "auto" else "cpu"  # a GPU is there for who asks
        self.unseen_gpu = new_config["on_gpu"] and device == "auto" and not torch.cuda.is_available()
        self.rows, self.last = (
            self.work(self.sweep, proposals, self.results, device, alarm=_alarm),
            proposals[-1].number,
        )
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: a job that is lost begins again, and trained models are in the store."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


def _alarm(limit_s: float | None) -> None:
    """Let this process be killed some time after a limit, whatever it does, and write down where it was; None: do not.

    It is not Python that ends the process, so that code of any kind can be ended.
    """
    if limit_s is None:
        faulthandler.cancel_dump_traceback_later()
    else:
        faulthandler.dump_traceback_later(limit_s + GRACE_S, exit=True)
