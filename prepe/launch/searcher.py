"""What a sweep still has to do: stored proposals in, the next proposal out, each outcome told to an Optuna study.

The store's rows are the truth. The study, with its journal that optuna-dashboard can open, is made from them at every
start and follows along. A sweep whose points are all fixed, by variants or a grid, has none.
"""

import itertools
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from prepe.errors import PrepeError
from prepe.launch.job import Proposal, Row, stored, write
from prepe.sweep import Distribution, Params, Search, Sweep, digest

_TRIES = 200
_COUNTABLE = 100_000
_TRIES_WHERE_COUNTABLE = 5
_GENERATION = 50


class Queue:
    """The proposals that a sweep still has to do: first stored ones that lack members, then new ones.

    Args:
        sweep: what to search, or whose points to do.
        results: the store.
        retry_failed: do failed proposals again too.

    Attributes:
        done: rows of proposals that are finished or failed, as asked for.
        made: how many of them ended since this queue was made.
        total: how many distinct configurations the sweep asks for, or the space has, if those are fewer.
        lost: how many proposals lost their worker and have no row.
        foreign: how many stored proposals lie outside the space of today's file; they are left alone.

    Raises:
        PrepeError: the store cannot be read or written.
    """

    def __init__(self, sweep: Sweep, results: Path, retry_failed: bool = False) -> None:
        self.sweep, self.results = sweep, results
        points = sweep.points()
        self.total = int(min(sweep.trials, _size(sweep.space) if points is None else len(points)))
        rows = stored(sweep, results)
        self._digest, self._fault = digest(sweep), PrepeError()
        ours = [row for row in rows if self._fits(row)]
        self.foreign, self.made, self.lost = len(rows) - len(ours), 0, 0
        self.done = self._as_of_today([row for row in ours if not self._again(row, retry_failed)], rows)
        self._again_rows = [row for row in ours if self._again(row, retry_failed)]
        self._numbers = max([row["number"] for row in rows], default=-1) + 1
        self._seen: dict[str, Row | None] = {row["trial"]: row for row in self.done}
        self._seen |= {row["trial"]: None for row in self._again_rows}
        self._asked: dict[int, optuna.Trial | None] = {}
        self._points = iter(points or ())
        self.study = self._make_study() if points is None else None

    @property
    def left(self) -> int:
        """How many proposals are still to be handed out or to end."""
        return max(self.total - len(self.done), len(self._again_rows) + len(self._asked))

    def take(self) -> list[Proposal]:
        """Return the next proposals for one job: as many as the sweep packs, fewer at its end, then none.

        Raises:
            PrepeError: as `next`.
        """
        return list(itertools.islice(iter(self.next, None), self.sweep.resources.pack))

    def next(self) -> Proposal | None:
        """Return the next proposal, or None when the sweep has all it asks for.

        Raises:
            PrepeError: the sampler proposes what cannot be trained, again and again.
        """
        if self._again_rows:
            row = self._again_rows.pop(0)
            self._asked[row["number"]] = None
            return Proposal(row["number"], json.loads(row["params"]), row["generation"])
        if len(self.done) + len(self._asked) >= self.total:
            return None
        return self._point() if self.study is None else self._ask(self.study)

    def _point(self) -> Proposal | None:
        """Return the next fixed point that was not proposed yet, or None if there is none left."""
        unseen = (point for point in self._points if self.sweep.trial(point).digest() not in self._seen)
        return next((self._propose(point, None) for point in unseen), None)

    def _ask(self, study: optuna.Study) -> Proposal | None:
        """Return a proposal of the sampler, or None if it finds no new one."""
        countable, faults = _size(self._search.space) <= _COUNTABLE, 0
        for _ in range(_TRIES_WHERE_COUNTABLE if countable else _TRIES):
            asked = study.ask(_distributions(self._search.space))
            name = self._name(asked.params)
            if name is not None and name not in self._seen:
                return self._propose(asked.params, asked)
            faults += name is None
            asked.set_user_attr(*("duplicate", True) if name else ("invalid", str(self._fault)))
            study.tell(asked, state=TrialState.FAIL)
        if faults and not countable:
            raise PrepeError(
                f"the search gave up: of {_TRIES} proposals in a row {faults} cannot be trained and the others were "
                f"made before; the last fault: {self._fault}"
            )
        if countable and (point := self._unseen()) is not None:
            study.enqueue_trial(dict(point))
            return self._propose(point, study.ask(_distributions(self._search.space)))
        self.total = len(self.done) + len(self._asked)
        return None

    def finish(self, proposal: Proposal, row: Row | None) -> None:
        """Take the row of a proposal that ended, or None if its worker was lost and nothing was stored."""
        asked = self._asked.pop(proposal.number)
        if row is None:
            self.lost += 1
        else:
            self.made += 1
            self.done.append(row)
            self._seen[row["trial"]] = row
        if self.study is None:
            return
        if asked is not None:
            self._tell(asked, row)
        elif row is not None:
            self.study.add_trial(self._frozen(row, {}))

    def close(self) -> None:
        """Tell the study that proposals which have not ended never will: their workers are gone."""
        for asked in self._asked.values():
            if asked is not None:
                self._tell(asked, None)
        self._asked.clear()

    def _propose(self, params: Params, asked: optuna.Trial | None) -> Proposal:
        proposal = Proposal(self._numbers, dict(params), len(self.done))
        name = self.sweep.trial(params).digest()
        self._numbers += 1
        self._seen[name] = None
        self._asked[proposal.number] = asked
        if asked is not None:
            asked.set_user_attr("trial", name)
            asked.set_user_attr("number", proposal.number)
        return proposal

    def _unseen(self) -> Params | None:
        """Return a valid point of a small finite space that was not proposed yet, or None if there is none left."""
        axes = [each.values() for each in self._search.space.values()]
        names = list(self._search.space)
        points: list[Params] = [dict(zip(names, values, strict=True)) for values in itertools.product(*axes)]
        random.Random(self._search.seed + len(self._seen)).shuffle(points)
        named = ((self._name(point), point) for point in points)
        return next((point for name, point in named if name is not None and name not in self._seen), None)

    def _name(self, params: Params) -> str | None:
        """Return the name of the trial at a point, or None if its parameters, each in its range, do not go together."""
        try:
            return self.sweep.trial(params).digest()
        except PrepeError as fault:
            self._fault = fault
            return None

    @property
    def _search(self) -> Search:
        if self.sweep.search is None:
            raise ValueError("this sweep has no search")
        return self.sweep.search

    def _fits(self, row: Row) -> bool:
        """Say whether a stored proposal is a point of today's file: same space, same everything else."""
        params = json.loads(row["params"])
        if params.keys() != self.sweep.start().keys():
            return False
        space = self.sweep.space
        held = (
            space[name].holds(each) if name in space else each in self.sweep.variants for name, each in params.items()
        )
        return all(held) and self._name(params) == row["trial"]

    def _again(self, row: Row, retry_failed: bool) -> bool:
        """Say whether a stored proposal has to be done again.

        It has if it failed and that is asked for, if it lacks members, or if it was judged by another version of the
        file than today's; what is stored of it is not trained again.
        """
        if row["state"] == "failed":
            return retry_failed
        return (
            row["first_seed"] > self.sweep.first_seed
            or row["first_seed"] + row["members"] < self.sweep.first_seed + self.sweep.members
            or row["digest"] != self._digest
        )

    def _as_of_today(self, done: list[Row], rows: list[Row]) -> list[Row]:
        """Make today's version of the file the one that was written last, by storing what is done of it again."""
        last = max(rows, key=lambda row: row["created"])["digest"] if rows else None
        return [
            row if row["digest"] == last == self._digest else write(self.results, row | {"digest": self._digest})
            for row in done
        ]

    def _make_study(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal = self.results / "optuna" / f"{self.sweep.name}.journal"
        try:
            journal.parent.mkdir(parents=True, exist_ok=True)
            for old in journal.parent.glob(f"{journal.name}*"):
                old.unlink()
        except OSError as error:
            raise PrepeError(f"{journal}: cannot be written: {error.strerror}") from None
        study = optuna.create_study(
            study_name=self.sweep.name,
            storage=JournalStorage(JournalFileBackend(str(journal))),
            sampler=_sampler(self._search, len(self.done)),
            directions=[each.goal for each in self.sweep.objectives],
        )
        study.add_trials([self._frozen(row, attributes) for row, attributes in self._with_generations()])
        if self.sweep.trial(self.sweep.start()).digest() not in self._seen:
            study.enqueue_trial(dict(self.sweep.start()))
        return study

    def _with_generations(self) -> Iterator[tuple[Row, dict[str, Any]]]:
        """Give each row with what the sampler itself noted down about it: the generation, where it works in these."""
        complete = 0
        for row in self.done:
            generation = {NSGAIISampler._get_generation_key(): complete // _GENERATION}
            yield row, generation if self._search.sampler == "nsga2" and self._told_complete(row) else {}
            complete += self._told_complete(row)

    def _frozen(self, row: Row, attributes: dict[str, Any]) -> FrozenTrial:
        complete = self._told_complete(row)
        return create_trial(
            state=TrialState.COMPLETE if complete else TrialState.FAIL,
            params=json.loads(row["params"]),
            distributions=_distributions(self._search.space),
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

    def _tell(self, asked: optuna.Trial, row: Row | None) -> None:
        if self.study is None:
            return
        if not self._told_complete(row):
            self.study.tell(asked, state=TrialState.FAIL)
            return
        for name, excess in dict(row["constraints"] or ()).items():
            asked.set_constraint(name, excess)
        self.study.tell(asked, self._values(row))


def _distributions(space: dict[str, Distribution]) -> dict[str, BaseDistribution]:
    return {name: _distribution(each) for name, each in space.items()}


def _size(space: dict[str, Distribution]) -> float:
    """Return how many points a space has."""
    return math.prod(len(each.values()) or math.inf for each in space.values())


def _distribution(each: Distribution) -> BaseDistribution:
    if each.choice is not None:
        return CategoricalDistribution(each.choice)
    if each.int_ is not None:
        return IntDistribution(*each.int_, step=each.step)
    low, high = each.range()
    return FloatDistribution(low, high, log=each.log is not None)


def _sampler(search: Search, done: int) -> BaseSampler:
    """Return the sampler, with another seed after every restart, so that it does not draw the same points again."""
    seed = (search.seed + 1_000_003 * done) % 2**32
    if search.sampler == "random":
        return RandomSampler(seed=seed)
    if search.sampler == "nsga2":
        return NSGAIISampler(seed=seed, population_size=_GENERATION)
    return TPESampler(seed=seed, n_startup_trials=search.startup_trials, multivariate=True)
