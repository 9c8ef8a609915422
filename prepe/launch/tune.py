"""Ray Tune as the scheduler: a queue of proposals in, jobs on workers that write their own rows.

Tune's own state is thrown away: what was done is in the store, and the queue is made from that.
"""

import logging
import os
import pickle
import socket
import tempfile
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.air.constants import EXPR_ERROR_PICKLE_FILE
from ray.exceptions import RayTaskError
from ray.tune.search import Searcher

from prepe import store
from prepe.errors import PrepeError
from prepe.launch.interrupt import Interrupt, noted
from prepe.launch.job import Proposal, Row, work
from prepe.launch.progress import Progress
from prepe.launch.searcher import Queue
from prepe.sweep import Resources, Sweep

_RETRIES_OF_LOST_WORKERS = 3
_CONNECT_S = 5
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
_SILENCE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the behaviour to come, so that Ray does not warn of it
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's new output cannot be silenced
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


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


class _Watch(tune.Callback):
    """Stops Tune when Ctrl-C was pressed or no worker can do the job, and tells of lost workers."""

    def __init__(self, interrupt: Interrupt, progress: Progress) -> None:
        self.interrupt, self.progress = interrupt, progress

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to write down."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.interrupt.check()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _check_lost(trial)
        self.progress.say("a worker was lost; what it did is done again")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _check_lost(trial)


def _check_lost(trial: Any) -> None:
    """Check that a job failed because its worker vanished, and not for a reason that is there for every worker.

    Raises:
        PrepeError: the worker cannot import prepe, or a row cannot be stored.
    """
    file = Path(trial.local_path, EXPR_ERROR_PICKLE_FILE)
    error = pickle.loads(file.read_bytes()) if file.is_file() else None
    if isinstance(error, RayTaskError) or "in its creation task" in str(error):
        raise PrepeError(f"a worker cannot do its job: {str(error).strip().splitlines()[-1]}")


def run(queue: Queue, progress: Progress, *, device: str, address: str | None) -> None:
    """Do all proposals of a queue through Ray Tune.

    Args:
        queue: what to do.
        progress: told of every start and end.
        device: for the jobs.
        address: of a running cluster; None starts one in this process's machine and stops it at the end.

    Raises:
        PrepeError: the cluster cannot be reached, has not what a job asks for, or gave up.
        KeyboardInterrupt: after the first Ctrl-C, when the workers have stopped.
    """
    for name, value in _SILENCE.items():
        os.environ.setdefault(name, value)
    if address:
        progress.say(f"joining Ray at {address} ...")
        _join(address)  # may take long, and leaves nothing behind: not under `noted`
    with noted() as interrupt:
        try:
            if not address:
                progress.say("starting Ray ...")
                _start()
            interrupt.check()
            slots = queue.sweep.resources.concurrency or _slots(queue.sweep.resources)
            _fit(queue, progress, interrupt, device, slots)
        finally:
            ray.shutdown()


def _fit(queue: Queue, progress: Progress, interrupt: Interrupt, device: str, slots: int) -> None:
    """Do all proposals of a queue, so many jobs at once."""
    resources = queue.sweep.resources
    with tempfile.TemporaryDirectory(prefix="prepe-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(_Job, sweep=queue.sweep, results=str(queue.results.resolve()), device=device),
                {"cpu": resources.cpus, "gpu": resources.gpus},
            ),
            tune_config=tune.TuneConfig(
                search_alg=_QueueSearcher(queue, progress),
                num_samples=queue.left,
                max_concurrent_trials=slots,
                reuse_actors=True,
                metric=None,
                mode=None,
            ),
            run_config=tune.RunConfig(
                name=queue.sweep.name,
                storage_path=scratch,
                verbose=0,
                callbacks=[_Watch(interrupt, progress)],
                failure_config=tune.FailureConfig(max_failures=_RETRIES_OF_LOST_WORKERS),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            tuner.fit()
        except RuntimeError as error:
            first = str(error).strip().partition("\n")[0]
            raise PrepeError(f"Ray gave up: {first}. What had ended is stored; run it again to go on") from None


def _start() -> None:
    """Start Ray on this machine, with all of its processors."""
    try:
        ray.init(address="local", num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False, **_QUIET)
    except (OSError, ValueError, RuntimeError) as error:
        raise PrepeError(f"Ray cannot be started: {error}") from None


def _join(address: str) -> None:
    """Join the cluster at an address.

    Raises:
        PrepeError: there is none.
    """
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdecimal():  # Ray would try for minutes
            socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
        ray.init(address=address, **_QUIET)
    except (OSError, ValueError, RuntimeError) as error:
        raise PrepeError(
            f"--address {address}: no Ray cluster can be joined there: {error}; "
            "allowed: HOST:PORT of its head, or auto on one of its nodes"
        ) from None


def _slots(resources: Resources) -> int:
    """Return how many jobs the cluster can run at once.

    Raises:
        PrepeError: not even one.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    slots = 0
    for have in nodes:
        by_cpu, by_gpu = have.get("CPU", 0) // resources.cpus, have.get("GPU", 0) / (resources.gpus or 1)
        slots += int(min(by_cpu, by_gpu) if resources.gpus else by_cpu)
    if slots:
        return slots
    for name, wanted, kind in (("cpus", resources.cpus, "CPU"), ("gpus", resources.gpus, "GPU")):
        most = max((have.get(kind, 0) for have in nodes), default=0)
        if wanted > most:
            raise PrepeError(
                f"resources.{name}: a job asks for {wanted:g}; allowed here: at most {most:g}, on any node"
            )
    raise PrepeError(f"resources: no node has {resources.cpus:g} CPUs and {resources.gpus:g} GPUs at once")
