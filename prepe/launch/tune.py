"""Ray Tune as the scheduler: a queue of proposals in, jobs on workers that write their own rows.

Tune's own state is thrown away: what was done is in the store, and the queue is made from that.
"""

import math
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.search import Searcher

from prepe import custom, store
from prepe.errors import PrepeError
from prepe.launch import cluster
from prepe.launch.interrupt import Interrupt, noted
from prepe.launch.job import Proposal, Row, work
from prepe.launch.progress import Progress
from prepe.launch.searcher import Queue
from prepe.sweep import Sweep

_RETRIES_OF_LOST_WORKERS = 3
_RAISED_AT_WORK = re.compile(r"(\x1b\[\d+m)?ray::|The actor died because of an error raised in its creation task")
_SILENCE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the behaviour to come, so that Ray does not warn of it
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's new output cannot be silenced
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


class _Job(tune.Trainable):
    """Does a pack of proposals, one a step, in a process that is used again for the next pack."""

    def setup(self, config: dict[str, Any], **given: Any) -> None:
        self.sweep: Sweep = given["sweep"]
        self.results, self.device = Path(given["results"]), str(given["device"])
        custom.look_in(given["folders"])
        torch.set_num_threads(self.sweep.resources.cpus)
        self.reset_config(config)

    def step(self) -> dict[str, Any]:
        row = next(self.rows)
        return {"number": row["number"], "trial": row["trial"], "done": row["number"] == self.last}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        proposals = [Proposal(**each) for each in new_config["proposals"]]
        self.rows, self.last = work(self.sweep, proposals, self.results, self.device), proposals[-1].number
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: a job that is lost begins again, and trained models are in the store."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


class _Faults:
    """Keeps the first exception of what Tune calls; Tune itself would wrap it, or take it for a job's and go on."""

    def __init__(self) -> None:
        self.first: Exception | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note an exception down instead of raising it while in this context."""
        try:
            yield
        except Exception as error:
            self.first = self.first or error

    def check(self) -> None:
        """Raise the first exception, if there was any."""
        if self.first:
            raise self.first from None


class _QueueSearcher(Searcher):
    """Hands a queue's proposals to Tune and its outcomes back."""

    def __init__(self, queue: Queue, progress: Progress, faults: _Faults) -> None:
        super().__init__()
        self.queue, self.progress, self.faults = queue, progress, faults
        self.running: dict[str, dict[int, Proposal]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to write down: it could only go stale."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        pack: list[Proposal] = []
        with self.faults.noted():
            pack = self.queue.take()
        if not pack:
            return None if self.running else Searcher.FINISHED
        self.running[trial_id] = {each.number: each for each in pack}
        self.progress.started()
        return {"proposals": [vars(each) for each in pack]}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        proposal = self.running.get(trial_id, {}).pop(result["number"], None)
        if proposal is None:  # it was done again, since a worker was lost with others of its pack still to do
            return
        with self.faults.noted():
            row = self._stored(result["trial"])
            self.queue.finish(proposal, row)
            if row is not None:
                self.progress.finished(row)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if result and not error:
            self.on_trial_result(trial_id, result)
        for proposal in self.running.pop(trial_id, {}).values():
            with self.faults.noted():
                self.queue.finish(proposal, None)

    def _stored(self, trial: str) -> Row | None:
        name = f"{self.queue.sweep.name}-{trial}"
        rows: list[Row] = store.read(self.queue.results, "proposals", names=name).to_pylist()
        return rows[0] if rows else None

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the store has it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _Watch(tune.Callback):
    """Stops Tune when Ctrl-C was pressed or there was a fault, and tells of lost workers."""

    def __init__(self, interrupt: Interrupt, progress: Progress, faults: _Faults) -> None:
        self.interrupt, self.progress, self.faults = interrupt, progress, faults

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to write down."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.interrupt.check()
        self.faults.check()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        with self.faults.noted():
            _check_lost(trial)
            self.progress.say("a worker was lost; what it did is done again")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        with self.faults.noted():
            _check_lost(trial)


def _check_lost(trial: Any) -> None:
    """Check that a job failed because its worker vanished, and not for a reason that is there for every worker.

    Raises:
        PrepeError: the worker cannot import prepe, or a row cannot be stored.
    """
    file = trial.error_file  # every failure of this job, one after the other, each under a line of its own
    failures = Path(file).read_text(encoding="utf-8") if file and Path(file).is_file() else ""
    last = failures.rpartition("Failure # ")[2].partition("\n")[2].strip()
    if _RAISED_AT_WORK.match(last):
        raise PrepeError(f"a worker cannot do its job: {last.splitlines()[-1]}")


def run(
    queue: Queue, progress: Progress, *, device: str, folders: list[Path], address: str | None, session: ExitStack
) -> None:
    """Do all proposals of a queue through Ray Tune.

    Args:
        queue: what to do.
        progress: told of every start and end.
        device: for the jobs.
        folders: where workers find the users' own functions.
        address: of a running cluster; None starts one on this machine. A Ray that is up already is used.
        session: at its end, a Ray that was started or joined here is left.

    Raises:
        PrepeError: the cluster cannot be reached, has not what a job asks for, or gave up.
        KeyboardInterrupt: after the first Ctrl-C, when the workers have stopped.
    """
    for name, value in _SILENCE.items():
        os.environ.setdefault(name, value)
    up = ray.is_initialized()
    if up:
        cluster.check_same(address)
    else:
        session.callback(_leave)
    if address and not up:
        progress.say(f"joining Ray at {address} ...")
        cluster.join(address)  # may take long, and leaves nothing behind: not under `noted`
    with noted() as interrupt:
        if not (up or address):
            progress.say("starting Ray ...")
            cluster.start()
        interrupt.check()
        slots = queue.sweep.resources.concurrency or cluster.slots(queue.sweep.resources)
        given = {"sweep": queue.sweep, "results": str(queue.results.resolve()), "device": device, "folders": folders}
        _fit(queue, progress, interrupt, given, slots)


def _leave() -> None:
    """Leave Ray, whatever is pressed meanwhile."""
    with noted():
        ray.shutdown()


def _fit(queue: Queue, progress: Progress, interrupt: Interrupt, given: dict[str, Any], slots: int) -> None:
    """Do all proposals of a queue, so many jobs at once, each of which is given some things."""
    resources, faults = queue.sweep.resources, _Faults()
    with tempfile.TemporaryDirectory(prefix="prepe-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(_Job, **given),
                {"cpu": resources.cpus, "gpu": resources.gpus},
            ),
            tune_config=tune.TuneConfig(
                search_alg=_QueueSearcher(queue, progress, faults),
                num_samples=math.ceil(queue.left / resources.pack),
                max_concurrent_trials=slots,
                reuse_actors=True,
                metric=None,
                mode=None,
            ),
            run_config=tune.RunConfig(
                name=queue.sweep.name,
                storage_path=scratch,
                verbose=0,
                callbacks=[_Watch(interrupt, progress, faults)],
                failure_config=tune.FailureConfig(max_failures=_RETRIES_OF_LOST_WORKERS),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            tuner.fit()
        except (RuntimeError, tune.TuneError) as error:
            faults.check()
            said = str(error).strip().splitlines() or [type(error).__name__]
            first = said[-1] if said[0].startswith("Traceback") else said[0]
            raise PrepeError(f"Ray gave up: {first}. What had ended is stored; run it again to go on") from None
        faults.check()
