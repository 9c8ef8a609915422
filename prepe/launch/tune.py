"""Ray Tune as the scheduler: a queue of proposals in, jobs on workers that write their own rows.

Tune's own state is thrown away: what was done is in the store, and the queue is made from that. What Tune keeps of
every job grows with their number, so that it begins afresh now and then. A lost worker's proposals go back to the
queue.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.execution import class_cache
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from prepe import store
from prepe.errors import PrepeError
from prepe.launch import cluster, lost
from prepe.launch.cluster import Slots
from prepe.launch.interrupt import Interrupt, noted
from prepe.launch.job import Proposal, Row, failure, kept, work, write
from prepe.launch.presence import present
from prepe.launch.progress import Progress
from prepe.launch.searcher import Queue
from prepe.launch.worker import Job
from prepe.store.patience import meanwhile, patience_s

Work = Callable[..., Iterator[Row]]
_JOBS, _JOBS_A_SLOT = 300, 30
"""How many jobs one Tune does, and at least for each that it does at once; the next ones are another's."""
SILENCE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the behaviour to come, so that Ray does not warn of it
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's new output cannot be silenced
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # nothing of Tune's state is read again
}
_SECRETS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}
"""What Tune would give its workers by a way that leaves them in Ray's logs; nodes have their own, or inherit them."""


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

    def __init__(self, queue: Queue, progress: Progress, faults: _Faults, slots: Slots) -> None:
        super().__init__()
        self.queue, self.progress, self.faults, self.slots = queue, progress, faults, slots
        self.running: dict[str, dict[int, Proposal]] = {}
        self.since: dict[str, float] = {}
        self.crashes = lost.Crashes(queue.sweep.budget.timeout_s)
        self.held: list[Proposal] = []
        self.on_gpu: set[str] = set()
        self.told = False

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to write down: it could only go stale."""
        return {}

    def has_more(self) -> bool:
        """Say whether there is a job to do; its proposals are the next ones to be handed out."""
        self.held = self.queue.take()
        return bool(self.held)

    def suggest(self, trial_id: str) -> Any:
        on_gpu = self.slots.on_gpu > 0 and (not self.slots.on_cpu or len(self.on_gpu) < self.slots.on_gpu)
        pack: list[Proposal] = []
        with self.faults.noted():  # beside GPUs, a CPU takes one trial at a time, so that none waits long at the end
            pack = self.held or self.queue.take(None if on_gpu or not self.slots.on_gpu else 1)
        self.held = []
        if not pack:
            return None if self.running else Searcher.FINISHED
        self.running[trial_id] = {each.number: each for each in pack}
        if on_gpu:
            self.on_gpu.add(trial_id)
        self.progress.started()
        return {"proposals": [vars(each) for each in pack], "on_gpu": on_gpu}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if result["unseen_gpu"] and not self.told:
            self.progress.say("Ray gave a job a GPU that PyTorch does not see on that node; it trains on a CPU there")
            self.told = True
        proposal = self.running.get(trial_id, {}).pop(result["number"], None)
        if proposal is None:  # Tune tells of a job's last result twice
            return
        self.since[trial_id] = time.monotonic()
        with self.faults.noted():
            row = json.loads(result["row"])
            self._finish(proposal, row | {"created": datetime.fromisoformat(row["created"])})

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if result and not error:
            self.on_trial_result(trial_id, result)
        if not error:  # else it is lost
            self.running.pop(trial_id, None)
            self.since.pop(trial_id, None)
            self.on_gpu.discard(trial_id)

    def lost(self, trial_id: str, why: str, innocent: bool = False) -> None:
        """Take it that a job's worker has vanished: what it did is done again, but for a trial that was the cause.

        The cause is one that was alone with it, and took too long, or has made several workers vanish; and which is not
        known to be innocent.
        """
        self.on_gpu.discard(trial_id)
        left = list(self.running.pop(trial_id, {}).values())
        took_s = time.monotonic() - self.since.pop(trial_id, time.monotonic())
        if len(left) == 1 and not innocent and (error := self.crashes.cause(left[0], took_s, why)):
            row = kept(self.queue.results, failure(self.queue.sweep, left[0], error))
            self._finish(left[0], write(self.queue.results, row | {"busy_s": left[0].spent_s + took_s}))
        elif left:
            self.progress.say("a worker was lost; what it did is done again")
            self.queue.give_back(left)

    def _finish(self, proposal: Proposal, row: Row) -> None:
        self.queue.finish(proposal, row)
        self.progress.finished(row)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the store has it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _InTurn(FIFOScheduler):
    """Gives a worker that is free to a new job.

    Tune's own choice is the job that has waited longest: one whose own worker is just starting, and would be stopped
    for it. Where jobs are shorter than that start, most workers would never come up.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Choose nothing, so that what Tune does next decides: it lets workers that start alone."""
        return None


class _Watch(tune.Callback):
    """Stops Tune when Ctrl-C was pressed or there was a fault, and tells of lost workers."""

    def __init__(self, interrupt: Interrupt, searcher: _QueueSearcher) -> None:
        self.interrupt, self.searcher, self.faults = interrupt, searcher, searcher.faults
        self.actors: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to write down."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.interrupt.check()
        self.faults.check()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.searcher.since[trial.trial_id] = time.monotonic()  # the process is there, which may take long
        actor = trial.temporary_state.ray_actor
        if actor is not None:
            self.actors[trial.trial_id] = actor._actor_id.hex()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.actors.pop(trial.trial_id, None)
        kept = trial.run_metadata  # statistics of results over time, which nobody asks for, are most of it
        kept.metric_analysis, kept.metric_n_steps, kept.last_result = {}, {}, {}

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        file = trial.error_file
        why = Path(file).read_text(encoding="utf-8") if file and Path(file).is_file() else ""
        why = why.partition("Failure # ")[2].partition("\n")[2].strip()
        with self.faults.noted():
            lost.check(why)
            self.searcher.lost(trial.trial_id, f"{why}\n{lost.last_words(why)}".strip())

    def lost_to_memory(self, why: str) -> bool:
        """Take it that the memory monitor has killed the workers of jobs, if an error says so; Tune ends with them.

        The other jobs that were at work are done again, through no fault of theirs.
        """
        killed = lost.killed_for_memory(why, self.searcher.running, self.actors)
        if killed is None:
            return False
        for trial_id in list(self.searcher.running):
            self.searcher.lost(trial_id, why, innocent=trial_id not in killed)
        return True


def run(
    queue: Queue,
    progress: Progress,
    *,
    device: str,
    folders: list[Path],
    address: str | None,
    session: ExitStack,
    work: Work = work,
) -> None:
    """Do all proposals of a queue through Ray Tune.

    Args:
        queue: what to do.
        progress: told of every start and end.
        device: for the jobs.
        folders: where workers find the users' own functions.
        address: of a running cluster; None starts one on this machine. A Ray that is up already is used.
        session: at its end, a Ray that was started or joined here is left.
        work: what jobs do, if not this.

    Raises:
        PrepeError: the cluster cannot be reached, has not what a job asks for, or gave up.
        KeyboardInterrupt: after the first Ctrl-C, when the workers have stopped.
    """
    for name, value in SILENCE.items():
        os.environ.setdefault(name, value)
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(_SECRETS)
    up = ray.is_initialized()
    if up:
        cluster.check_same(address)
    else:
        session.callback(_leave)
    if address and not up:
        progress.say(f"joining Ray at {address} ...")
        cluster.join(address)  # may take long, and leaves nothing behind: not under `noted`
    with present(queue) as asked, noted(asked) as interrupt, meanwhile(interrupt.check):
        if not (up or address):
            progress.say("starting Ray ...")
            cluster.start()
        interrupt.check()
        slots = cluster.slots(queue.sweep.resources)
        if queue.sweep.resources.gpus and not slots.on_gpu:
            if device.startswith("cuda"):
                raise PrepeError(f"--device {device}: no node of the cluster has a GPU; allowed: auto, cpu")
            progress.say("no node has a GPU: all jobs run on CPUs")
        given = {
            "sweep": queue.sweep,
            "results": os.fspath(store.absolute(queue.results)),
            "device": device,
            "folders": folders,
            "work": work,
            "patience_s": patience_s(),
        }
        _fit(queue, progress, interrupt, given, slots)


def _leave() -> None:
    """Leave Ray, whatever is pressed meanwhile."""
    with noted():
        ray.shutdown()


def _fit(queue: Queue, progress: Progress, interrupt: Interrupt, given: dict[str, Any], slots: Slots) -> None:
    """Do all proposals of a queue, so many jobs at once, each of which is given some things."""
    searcher = _QueueSearcher(queue, progress, _Faults(), slots)
    while searcher.has_more():
        watch = _Watch(interrupt, searcher)
        with tempfile.TemporaryDirectory(prefix="prepe-tune-") as scratch:
            try:
                _tuner(searcher, watch, given, scratch).fit()
            except (RuntimeError, tune.TuneError) as error:
                searcher.faults.check()
                if not watch.lost_to_memory(str(error)):
                    said = str(error).strip().splitlines() or [type(error).__name__]
                    first = said[-1] if said[0].startswith("Traceback") else said[0]
                    raise PrepeError(f"Ray gave up: {first}. What had ended is stored; run it again to go on") from None
        searcher.faults.check()


def _tuner(searcher: _QueueSearcher, watch: _Watch, given: dict[str, Any], scratch: str) -> tune.Tuner:
    """Return what does the next jobs: one after the other in the processes of the first, with the things given."""
    sweep, slots = searcher.queue.sweep, searcher.slots
    resources = sweep.resources
    at_once = resources.concurrency or slots.on_gpu + slots.on_cpu
    return tune.Tuner(
        tune.with_resources(
            tune.with_parameters(Job, **given),
            lambda config: tune.PlacementGroupFactory(
                [{"CPU": resources.cpus, "GPU": resources.gpus if config["on_gpu"] else 0}]
            ),
        ),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=_InTurn(),
            num_samples=max(_JOBS, _JOBS_A_SLOT * at_once),
            max_concurrent_trials=at_once,
            reuse_actors=True,
            metric=None,
            mode=None,
        ),
        run_config=tune.RunConfig(
            name=sweep.name,
            storage_path=scratch,
            verbose=0,
            callbacks=[watch],
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
