"""What a sweep still has to do: stored proposals in, the next proposal out, each outcome told to an Optuna study.

The store's rows are the truth. The study is made from them at every start and follows along. A sweep whose points are
all fixed, by variants or a grid, has none.
"""

import itertools
import json
import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import optuna

from prepe.errors import PrepeError
from prepe.launch.budget import Meter
from prepe.launch.halving import Ladder, expected
from prepe.launch.job import Proposal, Row, lacks_members, members_again, stored, write
from prepe.launch.study import TPE_UNTIL, Study
from prepe.store import Root
from prepe.sweep import Distribution, Params, Search, Sweep, digest

_TRIES = 200
_COUNTABLE = 100_000
_TRIES_WHERE_COUNTABLE = 5


@dataclass(frozen=True)
class _Open:
    """A proposal that has not ended, its trial, the question that it answers, and whether that trial has a row."""

    proposal: Proposal
    trial: str
    asked: optuna.Trial | None = None
    promoted: bool = False


class Queue:
    """The proposals that a sweep still has to do: stored ones to be done again, promising ones, then new ones.

    Args:
        sweep: what to search, or whose points to do.
        results: the store.
        retry_failed: do failed proposals again too.
        deterministic: propose generations of a fixed size, each when all of the one before have ended, so that what is
            proposed does not depend on how many jobs are at work and which of them ends first.
        chosen: configurations to be proposed before all other new ones; those that are stored are passed over.

    Attributes:
        total: how many distinct configurations the sweep asks for, or the space has, if those are fewer.
        lost: how many proposals were given up, and have no row.
        foreign: how many stored proposals lie outside the space of today's file; they are left alone.
        chosen: those of these that are still to be proposed.
        study: the sampler, if the sweep has one.
        say: called with what a user should know.

    Raises:
        PrepeError: the store cannot be read or written, or a chosen configuration is no point of the sweep's space.
    """

    def __init__(
        self,
        sweep: Sweep,
        results: Root,
        retry_failed: bool = False,
        deterministic: bool = False,
        chosen: Iterable[Params] = (),
    ) -> None:
        self.sweep, self.results = sweep, results
        self.say: Callable[[str], None] = lambda _: None
        points = sweep.points()
        checked = [_checked(each, sweep) for each in chosen]
        self.total = int(min(sweep.trials, _size(sweep.space) if points is None else len(points)))
        rows = stored(sweep, results)
        self._digest, self._fault, self._ladder = digest(sweep), PrepeError(), Ladder(sweep)
        ours = [row for row in rows if _fits(row, sweep)]
        self.foreign, self.lost = len(rows) - len(ours), 0
        self._done: dict[str, Row] = {}
        for row in self._as_of_today([row for row in ours if not self._again(row, retry_failed)], rows):
            self._put(row)
        self._again_rows = [row for row in ours if self._again(row, retry_failed)]
        self._numbers = max([row["number"] for row in rows], default=-1) + 1
        self._seen = {*self._done, *(row["trial"] for row in self._again_rows)}
        self.chosen = deque(each for each in checked if sweep.trial(each).digest() not in self._seen)
        self._made: set[str] = set()
        self._ready: deque[Proposal] = deque()
        self._alone: set[int] = set()
        self._given_up: set[str] = set()
        self._open: dict[int, _Open] = {}
        self._untold: list[tuple[_Open, Row | None]] = []
        self._points, self._start = iter(points or ()), sweep.trial(sweep.start()).digest()
        together = sweep.search is not None and (points is None or len(sweep.rungs) > 1)
        self._together = sweep.search.generation if sweep.search and together and deterministic else 1
        self._meter = Meter(sweep, self.done)
        self.study = Study(sweep, results, self.done) if points is None else None

    @property
    def done(self) -> list[Row]:
        """Rows of the proposals that are finished or failed, as asked for; of each trial the last one."""
        return list(self._done.values())

    @property
    def made(self) -> int:
        """How many trials ended, or got more members, since this queue was made."""
        return len(self._made)

    @property
    def left(self) -> int:
        """How many proposals are still to be handed out or to end, as far as is known."""
        new = self.total - len(self._done)
        return max(new, len(self._again_rows) + len(self._open), self._promising(final=new <= 0) is not None)

    @property
    def spent(self) -> str | None:
        """Which budget is used up, so that nothing is handed out any more, or None."""
        return self._meter.spent

    def take(self, most: int | None = None) -> list[Proposal]:
        """Return the next proposals for one job: as many of as many members as the sweep packs, fewer, or none.

        None means that there is nothing to hand out now; while others are at work, they may give more to do. `most` is
        in place of the sweep's pack.

        Raises:
            PrepeError: as `next`.
        """
        pack: list[Proposal] = []
        while len(pack) < (most or self.sweep.resources.pack) and (each := self.next()) is not None:
            if pack and (each.members != pack[0].members or each.number in self._alone):
                self._ready.appendleft(each)
                break
            pack.append(each)
            if each.number in self._alone:
                break
        return pack

    def next(self) -> Proposal | None:
        """Return the next proposal, or None when there is nothing to hand out now.

        Raises:
            PrepeError: the sampler proposes what cannot be trained, again and again.
        """
        if self.spent is not None:
            return None
        if not self._ready:
            self._ready.extend(self._more())
        return self._ready.popleft() if self._ready else None

    def give_back(self, proposals: Iterable[Proposal]) -> None:
        """Take proposals back whose worker was lost; each is handed out again, to a job of its own."""
        for each in proposals:
            self._alone.add(each.number)
            self._ready.append(each)

    def finish(self, proposal: Proposal, row: Row | None) -> None:
        """Take the row of a proposal that ended, or None if it was given up and nothing was stored."""
        ended = self._open.pop(proposal.number)
        if row is None:
            self.lost += 1
            self._given_up.add(ended.trial)
        else:
            self._made.add(row["trial"])
            self._put(row)
            self._meter.add(row)
        if row is not None and ended.promoted and row["error"] is not None:
            return  # what is stored of it stays, and was told
        if self._together > 1:
            self._untold.append((ended, row))
        elif self.study is not None:
            self.study.tell(ended.asked, row)

    def close(self) -> None:
        """Tell the study that proposals which have not ended never will: their workers are gone."""
        self._tell()
        for each in self._open.values():
            if self.study is not None and each.asked is not None:
                self.study.tell(each.asked, None)
        self._open.clear()

    def _put(self, row: Row) -> None:
        self._done[row["trial"]] = row
        self._ladder.put(row)

    def _tell(self) -> None:
        """Tell the study what ended, in the order in which it was proposed."""
        for ended, row in sorted(self._untold, key=lambda each: each[0].proposal.number):
            if self.study is not None:
                self.study.tell(ended.asked, row)
        self._untold.clear()

    def _more(self) -> list[Proposal]:
        """Return the next proposals: one, or a generation when there is none at work."""
        if self._together > 1:
            if self._open:
                return []
            self._tell()
            self._done = dict(sorted(self._done.items(), key=lambda item: item[1]["number"]))
            if self.study is not None:
                self.study.reseed(len(self._done))
        return list(itertools.islice(iter(self._one, None), self._together))

    def _one(self) -> Proposal | None:
        """Return the next proposal: one to be done again, else of a promising trial, else a new one."""
        if self._again_rows:
            row = self._again_rows.pop(0)
            return self._opened(row, members_again(row, self.sweep), promoted=False)
        if (promising := self._promising(final=False)) is not None:
            return self._opened(*promising, promoted=True)
        if (new := self._new()) is not None:
            return new
        last = self._promising(final=True)
        return None if last is None else self._opened(*last, promoted=True)

    def _new(self) -> Proposal | None:
        """Return a proposal of a new trial, or None when the sweep has all that it asks for."""
        if len(self._done) + sum(not each.promoted for each in self._open.values()) >= self.total:
            return None
        return self._point() if self.study is None else self._ask(self.study)

    def _promising(self, final: bool) -> tuple[Row, int] | None:
        """Return the row of a trial that should have more members now, and how many; final: no new trials will come."""
        at_work = {each.trial for each in self._open.values() if each.promoted}
        fewest = min((each.proposal.members for each in self._open.values()), default=self.sweep.members)
        return self._ladder.next(at_work | self._given_up, fewest if final else None)

    def _opened(self, row: Row, members: int, promoted: bool) -> Proposal:
        """Return a proposal of a trial that has a row, and note that it is open."""
        params, spent_s = json.loads(row["params"]), row.get("busy_s") or 0.0
        proposal = Proposal(row["number"], params, row["generation"], members, spent_s)
        self._open[proposal.number] = _Open(proposal, row["trial"], promoted=promoted)
        return proposal

    def _point(self) -> Proposal | None:
        """Return the next fixed point that was not proposed yet, or None if there is none left."""
        named = ((point, self.sweep.trial(point).digest()) for point in self._points)
        return next((self._propose(point, name, None) for point, name in named if name not in self._seen), None)

    def _ask(self, study: Study) -> Proposal | None:
        """Return a proposal of the sampler, or None if it finds no new one."""
        if study.outgrow(self.done):
            self.say(f"{TPE_UNTIL} trials have ended: NSGA-II proposes the others, since TPE would take ever longer")
        while self.chosen:
            point = self.chosen.popleft()
            if (chosen := self.sweep.trial(point).digest()) not in self._seen:
                return self._propose(point, chosen, study.ask(point))
        if self._start not in self._seen:
            return self._propose(self.sweep.start(), self._start, study.ask(self.sweep.start()))
        countable, faults = _size(self._search.space) <= _COUNTABLE, 0
        for _ in range(_TRIES_WHERE_COUNTABLE if countable else _TRIES):
            asked = study.ask()
            name = self._name(asked.params)
            if name is not None and name not in self._seen:
                return self._propose(asked.params, name, asked)
            faults += name is None
            study.reject(asked, *("duplicate", True) if name else ("invalid", str(self._fault)))
        if faults and not countable:
            raise PrepeError(
                f"the search gave up: of {_TRIES} proposals in a row {faults} cannot be trained and the others were "
                f"made before; the last fault: {self._fault}"
            )
        if countable and (unseen := self._unseen()) is not None:
            return self._propose(*unseen, study.ask(unseen[0]))
        self.total = len(self._done) + sum(not each.promoted for each in self._open.values())
        return None

    def _propose(self, params: Params, name: str, asked: optuna.Trial | None) -> Proposal:
        """Return a proposal of a new trial of that name, and note that it is open."""
        proposal = Proposal(self._numbers, dict(params), len(self._done), self.sweep.rungs[0])
        self._numbers += 1
        self._seen.add(name)
        self._open[proposal.number] = _Open(proposal, name, asked)
        if asked is not None:
            asked.set_user_attr("trial", name)
            asked.set_user_attr("number", proposal.number)
        return proposal

    def _unseen(self) -> tuple[Params, str] | None:
        """Return a valid point of a small finite space that was not proposed yet, with its trial's name, or None."""
        axes = [each.values() for each in self._search.space.values()]
        names = list(self._search.space)
        points: list[Params] = [dict(zip(names, values, strict=True)) for values in itertools.product(*axes)]
        random.Random(self._search.seed + len(self._seen)).shuffle(points)
        named = ((self._name(point), point) for point in points)
        return next(((point, name) for name, point in named if name is not None and name not in self._seen), None)

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

    def _again(self, row: Row, retry_failed: bool) -> bool:
        """Say whether a stored proposal has to be done again.

        It has if it failed, though with more members than are stored, and that is asked for, if it lacks members, or if
        it was judged by another version of the file than today's; what is stored of it is not trained again.
        """
        if row["state"] == "failed":
            return retry_failed
        if row["digest"] != self._digest or self._ladder.lacks(row):
            return True
        return retry_failed if row["error"] is not None else lacks_members(row, self.sweep)

    def _as_of_today(self, done: list[Row], rows: list[Row]) -> list[Row]:
        """Make today's version of the file the one that was written last, by storing what is done of it again."""
        last = max(rows, key=lambda row: row["created"])["digest"] if rows else None
        return [
            row if row["digest"] == last == self._digest else write(self.results, row | {"digest": self._digest})
            for row in done
        ]


def to_do(sweep: Sweep, results: Root) -> tuple[int, int]:
    """Say how much a sweep still has to do, as a queue would, and write nothing.

    Returns:
        How many of its trials are done with as many members as all get at first, or failed; and how many members are
        still to be trained, of these and of the others, as `halving.expected` has it.

    Raises:
        PrepeError: the store cannot be read.
    """
    ladder, rows = Ladder(sweep), [row for row in stored(sweep, results) if _fits(row, sweep)]
    for row in rows:
        ladder.put(row)
    done = min(sum(row["state"] == "failed" or not lacks_members(row, sweep) for row in rows), sweep.trials)
    if done == sweep.trials and ladder.next((), sweep.members) is None:
        return done, 0
    had = sum(sweep.rungs[0] if row["state"] == "failed" else min(row["members"], sweep.members) for row in rows)
    return done, max(expected(sweep, sweep.trials) - had, max(sweep.trials - len(rows), 0) * sweep.rungs[0])


def _checked(point: Params, sweep: Sweep) -> Params:
    """Return a chosen configuration of a sweep's space, in the order of that.

    Raises:
        PrepeError: it is none.
    """
    where = f"sweep {sweep.name}: chosen {json.dumps(point)}"
    if sweep.points() is not None:
        raise PrepeError(f"{where}: all points of this sweep are fixed; allowed: of one with a sampler")
    if point.keys() != sweep.space.keys():
        raise PrepeError(f"{where}: allowed: a value for each of {', '.join(sweep.space)}, and nothing else")
    for name, each in sweep.space.items():
        if not each.holds(point[name]):
            raise PrepeError(f"{where}: {name} lies outside of the file's space")
    sweep.trial(point)
    return {name: point[name] for name in sweep.space}


def _fits(row: Row, sweep: Sweep) -> bool:
    """Say whether a stored proposal is a point of a sweep: same space, same everything else."""
    params = json.loads(row["params"])
    if params.keys() != sweep.start().keys():
        return False
    space = sweep.space
    held = (space[name].holds(each) if name in space else each in sweep.variants for name, each in params.items())
    try:
        return all(held) and sweep.trial(params).digest() == row["trial"]
    except PrepeError:  # each value in its range, but they do not go together
        return False


def _size(space: dict[str, Distribution]) -> float:
    """Return how many points a space has."""
    return math.prod(len(each.values()) or math.inf for each in space.values())
