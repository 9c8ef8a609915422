"""A discrete-event model of a sweep on a large cluster: measured costs in; how busy its workers and its driver are out.

``make bench ARGS="--part cluster"`` prints it, in seconds. It is a model: what one driver, one trial and one worker's
start cost was measured on two cores, by ``make bench ARGS="--part costs"``, which writes cluster_costs.json; hundreds
of workers, machines that are taken away and new ones are extrapolated. docs/scale.md says what it leaves out.
"""

import math
import random
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import simpy

COSTS = Path(__file__).with_name("cluster_costs.json")
TPE_UNTIL = 1000
"""As `prepe.launch.study` has it, which would import Optuna."""
JOBS, JOBS_A_SLOT = 300, 30
"""How many jobs one Tune does, as in `prepe.launch.tune`; then all workers end, and new ones start."""
WORKERS = (8, 80, 200, 400, 800)
TRIALS_S = (2.0, 10.0, 60.0, 300.0)
SEEDS = range(3)

TRIALS_A_SLOT = 25
"""How many trials a sweep has, for each worker: one Tune does them all, with those that are done again."""
STARTS = (0.5, 1.5)
"""Between which multiples of what was measured a worker's start takes. Assumed: no machine here has eight cores."""


@dataclass(frozen=True)
class Costs:
    """What was measured.

    Attributes:
        driver_ms: of the driver's main thread for a trial: its result, progress, the next one's start; not the sampler.
        driver_ms_per_slot: what each worker at work adds to that.
        start_ms: of the driver's main thread for a worker's start.
        worker_start_s: from asking for a worker to its first trial.
        random_ms, nsga2_ms, tpe_ms: of the sampler for a trial: asking, telling, the journal.
        tpe_ms_per_trial: what each trial that has ended adds to that of TPE.
        write_s: for a worker to store a trial's rows.
        log_sd: standard deviation of the logarithm of trials' seconds.
    """

    driver_ms: float = 0.0
    driver_ms_per_slot: float = 0.0
    start_ms: float = 0.0
    worker_start_s: float = 0.0
    random_ms: float = 0.0
    nsga2_ms: float = 0.0
    tpe_ms: float = 0.0
    tpe_ms_per_trial: float = 0.0
    write_s: float = 0.0
    log_sd: float = 0.0

    def sampler_ms(self, sampler: str, ended: int) -> float:
        """Return what a sampler costs the driver at a trial, when so many have ended."""
        if sampler == "tpe" and ended < TPE_UNTIL:
            return self.tpe_ms + self.tpe_ms_per_trial * ended
        return self.random_ms if sampler == "random" else self.nsga2_ms


@dataclass(frozen=True)
class Cluster:
    """What is assumed of a cluster and its sweep.

    Attributes:
        nodes: how many machines.
        workers: how many workers each of them has.
        trial_s: mean seconds of a trial.
        trials: of the sweep; None: `TRIALS_A_SLOT` a worker.
        jobs: how many jobs one Tune does; None: as prepe has it.
        sampler: tpe, nsga2 or random.
        preempted_per_hour: how often each machine is taken away.
        away_s: mean seconds until there is another, ready to start workers; at least half of it.
    """

    nodes: int
    workers: int = 8
    trial_s: float = 10.0
    trials: int | None = None
    jobs: int | None = None
    sampler: str = "tpe"
    preempted_per_hour: float = 0.0
    away_s: float = 300.0

    @property
    def slots(self) -> int:
        return self.nodes * self.workers


@dataclass
class Outcome:
    """What came of a sweep.

    Attributes:
        wall_s: from the first worker's start to the last trial's end.
        ended: how often each trial ended.
        at_s: when trials ended, in order.
        useful_s: what workers spent on trials that ended.
        lost_s: what they spent on trials whose machine was taken away.
        driver_s: how long the driver was busy.
        slots: how many workers there were.
    """

    slots: int
    ended: list[int]
    at_s: list[float]
    wall_s: float = 0.0
    useful_s: float = 0.0
    lost_s: float = 0.0
    driver_s: float = 0.0

    @property
    def utilisation(self) -> float:
        """The share of workers' time that went into trials that ended."""
        return self.useful_s / (self.slots * self.wall_s)

    @property
    def driver_share(self) -> float:
        """The share of the time in which the driver was busy."""
        return self.driver_s / self.wall_s

    @property
    def per_hour(self) -> float:
        """Trials an hour."""
        return 3600 * sum(self.ended) / self.wall_s


class Sweep:
    """One run of the model.

    The driver serves one request at a time, in their order. A worker asks it, works, stores, and asks again: what it
    tells of the last trial and what it is given are one request.
    """

    def __init__(self, cluster: Cluster, costs: Costs, seed: int, durations: Iterable[float] | None = None) -> None:
        self.cluster, self.costs, self.random = cluster, costs, random.Random(seed)
        self.env = simpy.Environment()
        self.most = cluster.jobs or max(JOBS, JOBS_A_SLOT * cluster.slots)
        total = cluster.trials or TRIALS_A_SLOT * cluster.slots
        self.seconds = list(durations) if durations is not None else [self._drawn_s() for _ in range(total)]
        self.todo = deque(range(len(self.seconds)))
        self.outcome = Outcome(cluster.slots, [0] * len(self.seconds), [])
        self.left, self.told, self.at_work, self.handed = len(self.seconds), 0, 0, 0
        self.free_s = 0.0
        self.fresh, self.over = self.env.event(), self.env.event()

    def run(self) -> Outcome:
        """Do the sweep."""
        for _ in range(self.cluster.nodes):
            slots = [_Slot(self) for _ in range(self.cluster.workers)]
            if self.cluster.preempted_per_hour:
                self.env.process(self._machine(slots))
        self.env.run(self.over)
        self.outcome.wall_s = self.env.now
        return self.outcome

    def served(self, cost_ms: float) -> float:
        """Let the driver do something when it has done all that was asked before, and return for how long to wait."""
        begins_s = max(self.env.now, self.free_s)
        self.free_s = begins_s + cost_ms / 1000
        self.outcome.driver_s += cost_ms / 1000
        return self.free_s - self.env.now

    def take(self) -> tuple[int, float] | None:
        """Return the next trial and how long its worker waits for it, or None if this Tune gives no more."""
        if not self.todo or self.handed == self.most:
            return None
        self.handed += 1
        self.at_work += 1
        cost_ms = self.costs.driver_ms + self.costs.driver_ms_per_slot * self.at_work
        return self.todo.popleft(), self.served(cost_ms + self.costs.sampler_ms(self.cluster.sampler, self.told))

    def end(self, trial: int) -> None:
        """Take a trial that has ended."""
        self.at_work -= 1
        self.told += 1
        self.left -= 1
        self.outcome.ended[trial] += 1
        self.outcome.at_s.append(self.env.now)
        self.outcome.useful_s += self.seconds[trial]
        if not self.left:
            self.env.process(self._last_told())
        self._renew()

    def lose(self, trial: int, worked_s: float) -> None:
        """Take a trial back whose machine is gone."""
        self.at_work -= 1
        self.todo.appendleft(trial)  # as the queue hands it out next
        self.outcome.lost_s += worked_s
        self.served(self.costs.driver_ms)
        self._renew()

    def started_s(self) -> float:
        """Return how long a worker's start takes: with processes of a machine's other workers in its way, or not."""
        return self.random.uniform(*STARTS) * self.costs.worker_start_s

    def _renew(self) -> None:
        """Begin another Tune, with workers of its own, when this one has given all that it may, and none is at work."""
        if self.handed == self.most and not self.at_work and self.left:
            self.handed = 0
            self.fresh.succeed()
            self.fresh = self.env.event()

    def _last_told(self) -> Generator[Any, Any, None]:
        yield self.env.timeout(self.served(self.costs.driver_ms))
        self.over.succeed()

    def _drawn_s(self) -> float:
        spread = self.costs.log_sd
        return self.cluster.trial_s * math.exp(spread * self.random.gauss(0, 1) - spread**2 / 2)

    def _machine(self, slots: list["_Slot"]) -> Generator[Any, Any, None]:
        """Take a machine away, again and again."""
        while True:
            yield self.env.timeout(self.random.expovariate(self.cluster.preempted_per_hour / 3600))
            half_s = self.cluster.away_s / 2
            away_s = half_s + self.random.expovariate(1 / half_s)
            for slot in slots:
                slot.process.interrupt(away_s)
            yield self.env.timeout(away_s)


class _Slot:
    """A place for a worker: it starts, does trials, and starts again when it or its machine is taken away."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.env = sweep, sweep.env
        self.process = self.env.process(self._life())

    def _life(self) -> Generator[Any, Any, None]:
        away_s = 0.0
        while True:
            try:
                if away_s:
                    yield self.env.timeout(away_s)
                yield self.env.timeout(self.sweep.served(self.sweep.costs.start_ms) + self.sweep.started_s())
                yield from self._work()
                away_s = 0.0
            except simpy.Interrupt as taken:
                away_s = taken.cause

    def _work(self) -> Generator[Any, Any, None]:
        """Do trials until this Tune has no more; one that is interrupted is done again by whoever asks next."""
        while True:
            taken = self.sweep.take()
            if taken is None:
                yield self.sweep.fresh
                return
            trial, wait_s = taken
            began_s = self.env.now + wait_s
            try:
                yield self.env.timeout(wait_s + self.sweep.seconds[trial] + self.sweep.costs.write_s)
            except simpy.Interrupt:
                self.sweep.lose(trial, max(self.env.now - began_s, 0.0))
                raise
            self.sweep.end(trial)
