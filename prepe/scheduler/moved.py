"""A parameter that rules move off its schedule, and that keyframes bring back."""

import numpy as np

from prepe.keyframes import Column, MoveRule, Schedule, Timing, between_keys, inward, keys_of
from prepe.keyframes.transition import State, coefficients, state_on, value_on

_SCHEDULED, _MOVED, _RETURNING = 0, 1, 2


class Moved:
    """One parameter that rules can move: for each member on its schedule, moved off it, or on the way back to it.

    A move takes the value, velocity and acceleration over and goes on in updates. Where the next keyframe comes, the
    way to the one after it begins from there, in steps of the schedule and in the column's timing; having reached that
    one the member is on its schedule again. After the last keyframe it stays off.
    """

    def __init__(self, schedule: Schedule, name: str, members: int) -> None:
        column = schedule.columns.get(name, Column())
        self.timing: Timing = column.timing or schedule.timing
        self.space = column.space
        at, values = keys_of(schedule, name)
        self.at, self.keys = at.astype(np.int64), inward(values, self.space)
        self.key_at = np.full(schedule.steps, -1)
        within = self.at < schedule.steps
        self.key_at[self.at[within]] = np.arange(len(at))[within]
        self.mode = np.full(members, _SCHEDULED)
        self.off = False
        self.c = np.zeros((6, members))
        self.start, self.target, self.duration = np.zeros((3, members))
        self.duration += 1.0

    def move(self, rule: MoveRule, members: np.ndarray, step: np.ndarray, update: int, held: np.ndarray) -> None:
        """Begin a move of some members from where they are at this update."""
        state = self._state(step, update, held)
        target = float(inward(np.array(rule.to), self.space))
        self._begin(
            members, _MOVED, state, np.full(len(step), target), np.full(len(step), float(rule.steps)), "minjerk"
        )
        self.start[members] = update
        self.off = True

    def values(self, scheduled: np.ndarray, step: np.ndarray, arrived: np.ndarray, update: int) -> np.ndarray:
        """Return the values at this update, `(members,)`; where a keyframe is reached, it takes over."""
        if not self.off:
            return scheduled
        tau = self._tau(step, update)
        value = np.where(tau >= 1, self.target, value_on(self.c, tau))
        key = self.key_at[step]
        reached = (key >= 0) & arrived & (self.mode != _SCHEDULED)
        if reached.any():
            self._take_over(reached, key, step, update)
        outward = np.exp(value) if self.space == "log" else np.maximum(value, 0.0)
        return np.where(self.mode == _SCHEDULED, scheduled, outward)

    def _take_over(self, reached: np.ndarray, key: np.ndarray, step: np.ndarray, update: int) -> None:
        state = self._state(step, update, np.zeros_like(reached))
        self.mode[reached & (self.mode == _RETURNING)] = _SCHEDULED
        following = np.minimum(key + 1, len(self.at) - 1)
        members = reached & (self.mode == _MOVED) & (following > key)
        duration = np.maximum(self.at[following] - step, 1).astype(float)
        self._begin(members, _RETURNING, state, self.keys[following], duration, self.timing)
        self.start[members] = step[members]
        self.off = bool(self.mode.any())

    def _begin(
        self, members: np.ndarray, mode: int, state: State, target: np.ndarray, duration: np.ndarray, timing: Timing
    ) -> None:
        self.c[:, members] = coefficients(state, target, duration, timing)[:, members]
        self.target[members], self.duration[members] = target[members], duration[members]
        self.mode[members] = mode

    def _tau(self, step: np.ndarray, update: int) -> np.ndarray:
        elapsed = np.where(self.mode == _MOVED, float(update), step) - self.start
        tau: np.ndarray = np.minimum(np.maximum(elapsed / self.duration, 0.0), 1.0)
        return tau

    def _state(self, step: np.ndarray, update: int, held: np.ndarray) -> State:
        """Return value, velocity and acceleration of every member; a schedule that waits stands still."""
        own = self._scheduled_state(step)
        tau = self._tau(step, update)
        off = state_on(self.c, tau, self.duration)
        moving = np.where(self.mode == _SCHEDULED, (step >= self.at[0]) & (step < self.at[-1]), tau < 1)
        moving &= (self.mode == _MOVED) | ~held
        value = np.where(self.mode == _SCHEDULED, own.value, np.where(tau < 1, off.value, self.target))
        velocity = np.where(self.mode == _SCHEDULED, own.velocity, off.velocity)
        acceleration = np.where(self.mode == _SCHEDULED, own.acceleration, off.acceleration)
        return State(value, np.where(moving, velocity, 0.0), np.where(moving, acceleration, 0.0))

    def _scheduled_state(self, step: np.ndarray) -> State:
        if len(self.at) == 1:
            return State(np.full(len(step), self.keys[0]), np.zeros(len(step)), np.zeros(len(step)))
        interval, duration, tau = between_keys(self.at, step)
        c = coefficients(State(self.keys[interval]), self.keys[interval + 1], duration, self.timing)
        state = state_on(c, tau, duration)
        return state._replace(value=np.where(tau < 1, state.value, self.keys[interval + 1]))
