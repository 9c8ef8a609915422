"""How a value gets from where it is, and how fast it is moving there, to where it should be.

Times are in steps, velocities by step, accelerations by step squared; all of it holds elementwise for arrays too.

Source: Flash and Hogan, "The coordination of arm movements", J. Neurosci. 5 (1985), for minimum jerk; the dynamic
properties of z0u/ex-preppy, experiment 1.4, for what a new target does to a value that is still on its way.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

Timing = Literal["minjerk", "linear", "step-end"]
Space = Literal["linear", "log"]
LOG_FLOOR = 1e-10
"""What a value in log space is when it is smaller."""
_ARRIVED = 1e-10


class State(NamedTuple):
    """Where a value is, and its first and second derivative by step."""

    value: Any
    velocity: Any = 0.0
    acceleration: Any = 0.0


def coefficients(start: State, target: Any, duration: Any, timing: Timing = "minjerk") -> np.ndarray:
    """Return c of the way from a state to a target, `(6, ...)`.

    y(tau) = sum over i of c_i tau^i, tau = t / duration

    Minimum jerk takes velocity and acceleration over and ends at rest; the other timings take the value alone.
    """
    change = target - start.value
    rest = np.zeros_like(change)
    if timing == "linear":
        return np.stack([start.value + rest, change, rest, rest, rest, rest])
    if timing == "step-end":
        return np.stack([start.value + rest, rest, rest, rest, rest, rest])
    v, a = start.velocity * duration, start.acceleration * (duration * duration)
    return np.stack(
        [
            start.value + rest,
            v + rest,
            a / 2 + rest,
            10 * change - 6 * v - 1.5 * a,
            -15 * change + 8 * v + 1.5 * a,
            6 * change - 3 * v - 0.5 * a,
        ]
    )


def value_on(c: np.ndarray, tau: Any) -> Any:
    """Return y(tau)."""
    return c[0] + tau * (c[1] + tau * (c[2] + tau * (c[3] + tau * (c[4] + tau * c[5]))))


def state_on(c: np.ndarray, tau: Any, duration: Any) -> State:
    """Return y(tau), y'(tau) / duration and y''(tau) / duration^2."""
    first = c[1] + tau * (2 * c[2] + tau * (3 * c[3] + tau * (4 * c[4] + tau * 5 * c[5])))
    second = 2 * c[2] + tau * (6 * c[3] + tau * (12 * c[4] + tau * 20 * c[5]))
    return State(value_on(c, tau), first / duration, second / (duration * duration))


@dataclass(frozen=True)
class Transition:
    """The way of one value from a state to a target in some steps.

    One without duration goes nowhere: it stays at the value that it starts from.
    """

    start: State
    target: float
    duration: float
    timing: Timing = "minjerk"

    @property
    def final(self) -> float:
        """The value that it ends at."""
        return float(self.start.value) if _near(self.duration, 0.0) else self.target

    def at(self, elapsed: float) -> State:
        """Return the state after some steps: before the start that at the start, after the end that at the end."""
        if _near(self.duration, 0.0):
            return State(self.final)
        slope = (self.target - float(self.start.value)) / self.duration if self.timing == "linear" else 0.0
        tau = min(1.0, max(0.0, elapsed / self.duration))
        if tau >= 1 - _ARRIVED:
            return State(self.target, slope)
        c = coefficients(self.start, self.target, self.duration, self.timing)
        return State(*(float(each) for each in state_on(c, tau, self.duration)))


class Property:
    """A value that can be given another target at any time, and that never jumps unless it is told to.

    With a duration it counts as moving from the beginning, to the value that it has, so that its clock runs. Values are
    close when they differ by less than 1e-5 of the larger, or by 1e-8.

    Args:
        value: where it starts.
        duration: steps to a new target, until `set` gives another.
        timing: of every transition.
        space: `log` moves the logarithm; smaller values than 1e-10 count as 1e-10.

    Attributes:
        duration: steps from the latest change to the target.
        elapsed: steps since the latest change.
    """

    def __init__(
        self, value: float, duration: float = 0.0, timing: Timing = "minjerk", space: Space = "linear"
    ) -> None:
        self.timing, self.space = timing, space
        self.duration, self.elapsed = float(duration), 0.0
        self._target = self._inward(value)
        self._transition: Transition | None = None
        if not _near(self.duration, 0.0):
            self._transition = Transition(State(self._target), self._target, self.duration, timing)

    @property
    def value(self) -> float:
        return self._outward(self.state.value)

    @property
    def target(self) -> float:
        return self._outward(self._target)

    @property
    def moving(self) -> bool:
        return self._transition is not None

    @property
    def state(self) -> State:
        """Value, velocity and acceleration, in log space those of the logarithm."""
        return self._transition.at(self.elapsed) if self._transition else State(self._target)

    def step(self, n: float = 1.0) -> None:
        """Go on by some steps; a value at rest stays as it is."""
        if self._transition is None:
            return
        self.elapsed += n
        if self.elapsed >= self.duration - _ARRIVED:
            self.elapsed, self._transition = self.duration, None

    def set(self, value: float | None = None, duration: float | None = None) -> None:
        """Move to a target in some steps from now, with the velocity and acceleration that there are.

        What is not given stays. No duration is a jump; a target and duration close to those that there are change
        nothing, and at rest a target close to the value changes the duration alone.
        """
        target = self._target if value is None else self._inward(value)
        steps = self.duration if duration is None else float(duration)
        if _near(steps, 0.0):
            self._target, self._transition = target, None
            self.duration = self.elapsed = 0.0
        elif self._transition is None and _near(target, self._target):
            self.duration = steps
        elif self._transition is None or not (_near(target, self._target) and _near(steps, self.duration)):
            self._transition = Transition(self.state, target, steps, self.timing)
            self._target, self.duration, self.elapsed = target, steps, 0.0

    def _inward(self, value: float) -> float:
        return math.log(max(value, LOG_FLOOR)) if self.space == "log" else float(value)

    def _outward(self, value: float) -> float:
        return math.exp(value) if self.space == "log" else float(value)


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-8)
