"""A schedule, its rules and each update's measurements in; the next update's values for every member out."""

from dataclasses import dataclass

import numpy as np

from prepe.keyframes import ExtendRule, MoveRule, RatioRule, Schedule, most_updates, phase_starts
from prepe.scheduler.measured import Crossings, Smoothed
from prepe.scheduler.moved import Moved
from prepe.scheduler.values import table
from prepe.spec import LOSS


@dataclass(frozen=True)
class Now:
    """What holds for one update.

    Attributes:
        values: of every parameter, `(names, members)`.
        step: the step of the schedule at which each member is, `(members,)`.
        running: False for a member that has done its last step, `(members,)`.
        acted: rule -> how often it has acted on the values or the step of this update and of those before,
            `(members,)`: moves begun, updates with a held ratio, updates waited.
    """

    values: np.ndarray
    step: np.ndarray
    running: np.ndarray
    acted: dict[str, np.ndarray]


class Scheduler:
    """Gives every member its values, update by update: `at(0)`, `observe(...)`, `at(1)`, `observe(...)` and so on.

    Args:
        schedule: keyframes and rules.
        names: the parameters wanted, in order, among them all that rules move or weigh by.
        members: how many members there are.

    Attributes:
        waits: whether members can be at different steps.
        updates: the most updates that any member can need.
    """

    def __init__(self, schedule: Schedule, names: list[str], members: int) -> None:
        rules = schedule.rules
        self.moves = [rule for rule in rules if isinstance(rule, MoveRule)]
        self.ratios = [rule for rule in rules if isinstance(rule, RatioRule)]
        self.extends = [rule for rule in rules if isinstance(rule, ExtendRule)]
        self.waits = bool(self.extends)
        self.updates = most_updates(schedule)
        self.names, self.schedule = names, schedule
        self._columns = np.ascontiguousarray(table(schedule, names).T)
        self._measured = Smoothed(rules, members)
        self._moved = {rule.parameter: Moved(schedule, rule.parameter, members) for rule in self.moves}
        self._crossings = Crossings(self.moves, members)
        self._ends = {rule.name: _phase_ends(schedule, rule.phase) for rule in self.extends}
        self._update, self._held = 0, np.zeros(members, dtype=bool)
        acted = {rule.name: np.zeros(members, dtype=np.int64) for rule in rules}
        step, running = np.zeros(members, dtype=np.int64), np.ones(members, dtype=bool)
        self._now = Now(np.take(self._columns, step, axis=1), step, running, acted)

    def at(self, update: int) -> Now:
        """Return what holds for an update, the one after the latest that was observed.

        Raises:
            ValueError: it is another one.
        """
        if update != self._update:
            raise ValueError(f"update {update}: {self._update} were observed, so this is the one to ask for")
        return self._now

    def observe(self, parts: dict[str, np.ndarray]) -> None:
        """Take in what the update measured.

        Args:
            parts: `recon`, `total` and each term unweighted -> its value, `(members,)`; NaN where it has none.
        """
        now, acted = self._now, dict(self._now.acted)
        with np.errstate(invalid="ignore", divide="ignore"):
            self._measured.add(parts)
            if self.moves:
                self._move(now, acted)
            self._held = self._wait(now, acted)
            going = now.running & ~self._held
            running = now.running & (self._held | (now.step < self.schedule.steps - 1))
            step = now.step + (going & running)
            self._update += 1
            values = self._values(step, step != now.step, acted, running)
        self._now = Now(values, step, running, acted)

    def _move(self, now: Now, acted: dict[str, np.ndarray]) -> None:
        """Begin the moves of rules whose measurement has crossed its threshold."""
        fired = self._crossings.fired(self._measured, now.step, now.running)
        if fired is None:
            return
        for rule, members in zip(self.moves, fired, strict=True):
            if members.any():
                self._moved[rule.parameter].move(rule, members, now.step, self._update, self._held)
                acted[rule.name] = acted[rule.name] + members

    def _wait(self, now: Now, acted: dict[str, np.ndarray]) -> np.ndarray:
        """Return which members do their step again, `(members,)`."""
        held = np.zeros(len(now.step), dtype=bool)
        for rule in self.extends:
            waiting = self._ends[rule.name][now.step] & now.running & (acted[rule.name] < rule.at_most_steps)
            if waiting.any():
                waiting &= rule.awake(now.step) & ~rule.past(self._measured.of(rule, rule.measure))
                acted[rule.name] = acted[rule.name] + waiting
                held |= waiting
        return held

    def _values(
        self, step: np.ndarray, arrived: np.ndarray, acted: dict[str, np.ndarray], running: np.ndarray
    ) -> np.ndarray:
        """Return the values of this update: the schedule's own, then what moves and ratios make of them."""
        values = np.take(self._columns, step, axis=1)
        for name, moved in self._moved.items():
            row = self.names.index(name)
            values[row] = moved.values(values[row], step, arrived, self._update)
        for rule in self.ratios:
            self._hold(rule, values, step, acted, running)
        if self.schedule.final_step == "repeat" and self.schedule.steps > 1:
            last = step == self.schedule.steps - 1
            if last.any():
                values = np.where(last, self._now.values, values)
        return values

    def _hold(
        self, rule: RatioRule, values: np.ndarray, step: np.ndarray, acted: dict[str, np.ndarray], running: np.ndarray
    ) -> None:
        """Set a weight to ratio * (weighted `of`) / `measure`, within its bounds, where both were measured."""
        measure, other = self._measured.of(rule, rule.measure), self._measured.of(rule, rule.of)
        weight_name = LOSS if rule.of == "recon" else rule.of
        weighted = values[self.names.index(weight_name)] * other if weight_name in self.names else other
        weight = np.minimum(np.maximum(rule.ratio * weighted / measure, rule.at_least), rule.at_most)
        holds = rule.awake(step) & (weight == weight) & running
        row = self.names.index(rule.measure)
        values[row] = np.where(holds, weight, values[row])
        acted[rule.name] = acted[rule.name] + holds


def _phase_ends(schedule: Schedule, phase: str) -> np.ndarray:
    """Return which steps are the last of a phase of this name, `(steps,)`."""
    starts = phase_starts(schedule)
    following = [step for step, _ in starts[1:]] + [schedule.steps]
    ends = np.zeros(schedule.steps, dtype=bool)
    for (first, name), after in zip(starts, following, strict=True):
        if name == phase and first < schedule.steps:
            ends[min(after, schedule.steps) - 1] = True
    return ends
