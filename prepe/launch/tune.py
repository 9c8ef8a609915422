"""Ray Tune as the scheduler: a queue of proposals in, jobs on workers that write their own rows.

Tune's own state is thrown away: what was done is in the store, and the queue is made from that.
"""

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.search import Searcher

from prepe import store
from prepe.errors import PrepeError
from prepe.launch.job import Proposal, Row, work
from prepe.launch.progress import Progress
from prepe.launch.searcher import Queue
from prepe.sweep import Sweep

_RETRIES_OF_LOST_WORKERS = 3


class _Job(tune.Trainable):
    """Does one proposal a step, in a process that is used again for the next."""

    def setup(self, config: dict[str, Any], **given: Any) -> None:
        self.sweep: Sweep = given["sweep"]
        self.results, self.device = Path(given["results"]), str(given["device"])
        torch.set_num_threads(self.sweep.resources.cpus)

    def step(self) -> dict[str, Any]:
        row = work(self.sweep, Proposal(**self.config["proposal"]), self.results, self.device)
        return {"trial": row["trial"], "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: a job that is lost begins again, and trained models are in the store."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


class _QueueSearcher(Searcher):
    """Hands a queue's proposals to Tune and its outcomes back."""

    def __init__(self, queue: Queue, progress: Progress) -> None:
        super().__init__()
        self.queue, self.progress = queue, progress
        self.running: dict[str, Proposal] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to write down: it could only go stale."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        proposal = self.queue.next()
        if proposal is None:
            return None if self.running else Searcher.FINISHED
        self.running[trial_id] = proposal
        self.progress.started(proposal)
        return {"proposal": vars(proposal)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        proposal = self.running.pop(trial_id, None)
        if proposal is None:
            return
        row = None if error or not result else self._stored(result["trial"])
        self.queue.finish(proposal, row)
        if row is not None:
            self.progress.finished(row)

    def _stored(self, trial: str) -> Row | None:
        name = f"{self.queue.sweep.name}-{trial}"
        rows: list[Row] = store.read(self.queue.results, "proposals", names=name).to_pylist()
        return rows[0] if rows else None

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the store has it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


def run(queue: Queue, progress: Progress, *, device: str, address: str | None) -> None:
    """Do all proposals of a queue through Ray Tune.

    Args:
        queue: what to do.
        progress: told of every start and end.
        device: for the jobs.
        address: of a running cluster; None starts one in this process's machine and stops it at the end.

    Raises:
        PrepeError: the cluster cannot be reached, or has not what a job asks for.
        KeyboardInterrupt: after the first Ctrl-C, when the workers have stopped.
    """
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Tune's new output cannot be silenced
    resources = queue.sweep.resources
    _start_ray(address)
    try:
        _check_resources(resources.cpus, resources.gpus)
        searcher = _QueueSearcher(queue, progress)
        with tempfile.TemporaryDirectory(prefix="prepe-tune-") as scratch:
            tuner = tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(_Job, sweep=queue.sweep, results=str(queue.results.resolve()), device=device),
                    {"cpu": resources.cpus, "gpu": resources.gpus},
                ),
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    num_samples=queue.left,
                    max_concurrent_trials=resources.concurrency or _slots(resources.cpus, resources.gpus),
                    reuse_actors=True,
                    metric=None,
                    mode=None,
                ),
                run_config=tune.RunConfig(
                    name=queue.sweep.name,
                    storage_path=scratch,
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=_RETRIES_OF_LOST_WORKERS),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                ),
            )
            tuner.fit()
    finally:
        ray.shutdown()
    if searcher.running:
        raise KeyboardInterrupt


def _start_ray(address: str | None) -> None:
    try:
        ray.init(
            address=address or "local",
            num_cpus=None if address else len(os.sched_getaffinity(0)),
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise PrepeError(f"--address {address}: no Ray cluster can be joined there: {error}") from None


def _slots(cpus: int, gpus: float) -> int:
    have = ray.cluster_resources()
    slots = have.get("CPU", 0) // cpus
    return max(1, int(min(slots, have.get("GPU", 0) // gpus) if gpus else slots))


def _check_resources(cpus: int, gpus: float) -> None:
    have = ray.cluster_resources()
    for name, wanted, kind in (("cpus", cpus, "CPU"), ("gpus", gpus, "GPU")):
        if wanted > have.get(kind, 0):
            raise PrepeError(
                f"resources.{name}: a job asks for {wanted:g} and the cluster has {have.get(kind, 0):g}; "
                f"allowed here: at most {have.get(kind, 0):g}"
            )
