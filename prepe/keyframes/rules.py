"""Rules of a schedule that react to measurements, each member's to its own.

A measurement is a part of the loss, as it was at the update before: `recon`, `total`, or a term by name, unweighted
(but for `total`). It is smoothed as m <- m + (x - m) / smooth_steps, from the first value that there is; a term
without weight has no value, and what was measured last stays.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from prepe.catalog import NonNegative, Part, Positive, PositiveInt, Updates


class _Watching(Part):
    """What every rule has: a name, what it measures, and from which step of the schedule to which it is awake."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")]
    measure: str
    smooth_steps: PositiveInt = 50
    from_step: Annotated[int, Field(ge=0)] = 0
    to_step: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _awake(self) -> "_Watching":
        if self.to_step is not None and self.to_step < self.from_step:
            raise ValueError(f"to_step {self.to_step} lies before from_step {self.from_step}; allowed: not before it")
        return self

    def awake(self, step: np.ndarray) -> np.ndarray:
        """Say at which steps of the schedule the rule may act."""
        late = step > self.to_step if self.to_step is not None else np.zeros_like(step, dtype=bool)
        return (step >= self.from_step) & ~late


class _Threshold(_Watching):
    """A rule with one threshold to fall below or to rise above."""

    below: Positive | None = None
    above: Positive | None = None

    @model_validator(mode="after")
    def _one_threshold(self) -> "_Threshold":
        if (self.below is None) == (self.above is None):
            raise ValueError("below and above: exactly one of them is needed")
        return self

    @property
    def threshold(self) -> float:
        """What the measurement is compared with."""
        return self.above or self.below or 0.0

    @property
    def sign(self) -> float:
        """1 for a rule that acts below its threshold, -1 for one that acts above it."""
        return -1.0 if self.below is None else 1.0

    def past(self, measured: np.ndarray) -> np.ndarray:
        """Say where a measurement is past the threshold; one that there is not is never."""
        return self.sign * measured < self.sign * self.threshold


class MoveRule(_Threshold):
    """When a measurement crosses a threshold, move a parameter to a value, over some updates, with minimum jerk.

    The move takes over the value, its velocity and its acceleration, and arrives after `steps` updates, also while a
    phase is held. It fires again only after the measurement has gone back by `hysteresis`, a share of the threshold,
    beyond it; at most `times`. A measurement that is past its threshold already when the rule wakes has crossed it.

    The next keyframe of the parameter takes over from wherever the move has got to: from there the value goes to the
    keyframe after it, in the column's timing. A parameter without one stays where the move has brought it.
    """

    kind: Literal["move"]
    parameter: str
    to: NonNegative
    steps: Updates
    hysteresis: NonNegative = 0.1
    times: PositiveInt = 1


class RatioRule(_Watching):
    """Hold a ratio: set a term's weight so that weight * measure is `ratio` times the weighted part `of`.

    `measure` is the term; its weight follows both measurements as smoothed and is kept within `at_least` and `at_most`.
    Outside its steps, and until both have been measured, the weight is the schedule's own. Rules act in their order.
    """

    kind: Literal["ratio"]
    of: str
    ratio: Positive
    at_least: NonNegative = 0.0
    at_most: Positive


class ExtendRule(_Threshold):
    """Hold a phase at its last step until a measurement is below (or above) a threshold, for `at_most_steps` at most.

    Each member waits by itself: it goes on with the schedule, later by the steps that it waited. A phase that comes
    several times is held each time, for `at_most_steps` in all.
    """

    kind: Literal["extend"]
    phase: str
    at_most_steps: Updates


Rule = Annotated[MoveRule | RatioRule | ExtendRule, Field(discriminator="kind")]
RULES: dict[str, type[MoveRule | RatioRule | ExtendRule]] = {"move": MoveRule, "ratio": RatioRule, "extend": ExtendRule}
