"""Optuna: a space and rows in; new points out, and each outcome told.

The study is made from rows at every start and lives in memory. A journal, which optuna-dashboard can open, follows it
by one entry for each proposal that ended: writing down every question as well would cost more than asking.
"""

import copy
import json
import math
from collections.abc import Iterator
from typing import Any, TypeGuard

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from prepe.errors import PrepeError
from prepe.launch.job import Row
from prepe.store import Root, local_folder
from prepe.sweep import Distribution, Params, Search, Sweep

TPE_UNTIL = 1000
"""How many trials TPE proposes; each takes it longer than the one before, and the rest are proposed by NSGA-II."""
_GENERATION = 50
_GENERATION_KEY = NSGAIISampler._get_generation_key()
_REMEMBERED = 1000
"""How many trials NSGA-II looks through at most at every question; it draws from its last generations alone."""


class _Journal(JournalFileBackend):
    """A journal that does not wait for the disk: it is made anew from rows whenever it may have lost something."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._at, self._theirs = path, JournalFileSymlinkLock(path)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._theirs.acquire()
        try:
            with open(self._at, "ab") as file:
                file.write(text.encode())
        finally:
            self._theirs.release()


class Study:
    """What a sampler knows of a sweep.

    Args:
        sweep: with a search that has a sampler.
        results: the store, in which the journal is.
        done: rows of proposals that have ended, in order.

    Attributes:
        sampler: the name of the one that proposes now.
        memory: the study that it works on.

    Raises:
        PrepeError: the journal cannot be written.
    """

    def __init__(self, sweep: Sweep, results: Root, done: list[Row]) -> None:
        if sweep.search is None:
            raise ValueError("this sweep has no search")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.sweep, self.search = sweep, sweep.search
        self._distributions = {name: _distribution(each) for name, each in self.search.space.items()}
        self._path = local_folder(results) / "optuna" / f"{sweep.name}.journal"
        self._journal = self._make_journal()
        self._make(done)
        self._journal.add_trials(self.memory.trials)

    def _make(self, done: list[Row]) -> None:
        """Make the study that is worked on from rows."""
        self._complete = sum(map(self._told_complete, done))
        outgrown = self.search.sampler == "tpe" and self._complete >= TPE_UNTIL
        self.sampler = "nsga2" if outgrown else self.search.sampler
        self.memory = self._create(sampler=_sampler(self.search, self.sampler, len(done)))
        self.memory.add_trials([self._frozen(row, attributes) for row, attributes in self._with_generations(done)])

    def _make_journal(self) -> optuna.Study:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            for old in self._path.parent.glob(f"{self._path.name}*"):
                old.unlink()
        except OSError as error:
            raise PrepeError(f"{self._path}: cannot be written: {error.strerror}") from None
        return self._create(storage=JournalStorage(_Journal(str(self._path))))

    def _create(self, **options: Any) -> optuna.Study:
        directions = [each.goal for each in self.sweep.objectives]
        return optuna.create_study(study_name=self.sweep.name, directions=directions, **options)

    def outgrow(self, done: list[Row]) -> bool:
        """Go on with NSGA-II if there are too many trials for TPE, and say whether that is new.

        NSGA-II itself goes on without trials that it draws from no more.
        """
        if self.sampler == "tpe" and self._complete >= TPE_UNTIL:
            self._make(done)
            return True
        if self.sampler == "nsga2" and len(self.memory.get_trials(deepcopy=False)) > _REMEMBERED:
            self._forget()
        return False

    def _forget(self) -> None:
        """Keep what NSGA-II has of the generation that is being filled, and the parents that this descends from."""
        sampler, last = self.memory.sampler, self._generation()
        if not isinstance(sampler, NSGAIISampler):
            raise ValueError(f"{self.sampler} has no generations")
        parents, children = sampler.get_parent_population(self.memory, last), sampler.get_population(self.memory, last)
        self.memory = self._create(sampler=sampler)
        self.memory.add_trials([_of_generation(each, 0) for each in parents])
        self.memory.add_trials([_of_generation(each, min(last, 1)) for each in children])
        sampler.get_parent_population(self.memory, min(last, 1))  # from the second time on, in the order of numbers

    def _generation(self) -> int:
        """Return the number of the last generation of NSGA-II that has an outcome, from 0."""
        trials = self.memory.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        return max((each.system_attrs.get(_GENERATION_KEY, 0) for each in trials), default=0)

    def reseed(self, done: int) -> None:
        """Let what is proposed next depend on how many trials are done, and on nothing that was asked before."""
        self.memory.sampler = _sampler(self.search, self.sampler, done)

    def ask(self, point: Params | None = None) -> optuna.Trial:
        """Return a question whose `params` are a new point: the given one, or the sampler's."""
        if point is not None:
            self.memory.enqueue_trial(dict(point))
        return self.memory.ask(self._distributions)

    def reject(self, asked: optuna.Trial, name: str, why: Any) -> None:
        """Tell the sampler that a point is not tried, since it was before, or cannot be; the journal has none of it."""
        asked.set_user_attr(name, why)
        self.memory.tell(asked, state=TrialState.FAIL)

    def tell(self, asked: optuna.Trial | None, row: Row | None) -> None:
        """Tell what came of a question: a row, or nothing.

        A row that answers none, since another study asked or more members made a new row, is added beside the others.
        """
        if asked is None or asked.study is not self.memory:
            if row is not None:
                generation = {_GENERATION_KEY: self._generation()} if self.sampler == "nsga2" else {}
                self._add(self._frozen(row, generation))
            return
        self._complete += self._told_complete(row)
        if not self._told_complete(row):
            self._journal.add_trial(self.memory.tell(asked, state=TrialState.FAIL))
            return
        for name, excess in dict(row["constraints"] or ()).items():
            asked.set_constraint(name, excess)
        self._journal.add_trial(self.memory.tell(asked, self._values(row)))

    def _add(self, trial: FrozenTrial) -> None:
        self.memory.add_trial(trial)
        self._journal.add_trial(trial)

    def _with_generations(self, done: list[Row]) -> Iterator[tuple[Row, dict[str, Any]]]:
        """Give each row with what the sampler itself noted down about it: the generation, where it works in these."""
        complete = 0
        for row in done:
            generation = {_GENERATION_KEY: complete // _GENERATION}
            yield row, generation if self.sampler == "nsga2" and self._told_complete(row) else {}
            complete += self._told_complete(row)

    def _frozen(self, row: Row, attributes: dict[str, Any]) -> FrozenTrial:
        complete = self._told_complete(row)
        return create_trial(
            state=TrialState.COMPLETE if complete else TrialState.FAIL,
            params=json.loads(row["params"]),
            distributions=self._distributions,
            values=self._values(row) if complete else None,
            constraints=dict(row["constraints"] or ()) if complete else None,
            user_attrs={"trial": row["trial"], "number": row["number"]},
            system_attrs=attributes,
        )

    def _told_complete(self, row: Row | None) -> TypeGuard[Row]:
        """Say whether the study can take a row as complete: it knows no value that is not a number."""
        if row is None or row["state"] != "complete":
            return False
        return not any(map(math.isnan, [*self._values(row), *dict(row["constraints"] or ()).values()]))

    def _values(self, row: Row) -> list[float]:
        objectives = dict(row["objectives"])
        return [objectives[each.name] for each in self.sweep.objectives]


def _of_generation(told: FrozenTrial, number: int) -> FrozenTrial:
    """Return a trial as NSGA-II notes it down that belongs to the generation of that number."""
    again = copy.copy(told)
    again.system_attrs = {**told.system_attrs, _GENERATION_KEY: number}
    return again


def _distribution(each: Distribution) -> BaseDistribution:
    if each.choice is not None:
        return CategoricalDistribution(each.choice)
    if each.int_ is not None:
        return IntDistribution(*each.int_, step=each.step)
    low, high = each.range()
    return FloatDistribution(low, high, log=each.log is not None)


def _sampler(search: Search, name: str, done: int) -> BaseSampler:
    """Return a sampler, with another seed after every restart, so that it does not draw the same points again."""
    seed = (search.seed + 1_000_003 * done) % 2**32
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "nsga2":
        return NSGAIISampler(seed=seed, population_size=_GENERATION)
    return TPESampler(seed=seed, n_startup_trials=search.startup_trials, multivariate=True)
