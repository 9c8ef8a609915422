"""Keyframes in, a value for every parameter at every step out.

Between two keyframes a value moves with minimum jerk; before the first it holds the first, after the last the last.

Source: Flash and Hogan, "The coordination of arm movements", J. Neurosci. 5 (1985), for the polynomial.
"""

from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from prepe.catalog import NonNegative, Part, PositiveInt

MAX_STEPS = 10_000_000
"""Values are tabulated for every step beforehand, so there is a bound to their number."""


class Keyframe(Part):
    """A step and the values that some parameters have there; in a file, one flat table."""

    step: Annotated[int, Field(ge=0, lt=MAX_STEPS)]
    values: dict[str, NonNegative]

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict) and "values" not in value:
            values = {key: v for key, v in value.items() if key != "step"}
            return {key: v for key, v in value.items() if key == "step"} | {"values": values}
        return value


class Schedule(Part):
    """Hyperparameters over steps: the learning rate `lr` and one weight for every term, by the term's name.

    `steps` is the number of updates, by default the last keyframe's step + 1. `final_step` says what the last update
    uses: `"reach"` the last step's own values, `"repeat"` those of the step before (as the published reference does).
    """

    keyframes: Annotated[tuple[Keyframe, ...], Field(min_length=1, strict=False)]
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = Field(
        default_factory=lambda given: given["keyframes"][-1].step + 1
    )
    batch_size: PositiveInt = 64
    final_step: Literal["repeat", "reach"] = "reach"

    @field_validator("keyframes")
    @classmethod
    def _in_order(cls, keyframes: tuple[Keyframe, ...]) -> tuple[Keyframe, ...]:
        for before, after in pairwise(keyframes):
            if after.step <= before.step:
                raise ValueError(
                    f"step {after.step} comes after step {before.step}; allowed: steps in rising order, each once"
                )
        return keyframes

    def names(self) -> list[str]:
        """Return the names of all parameters that have a keyframe, in order of appearance."""
        return list(dict.fromkeys(name for frame in self.keyframes for name in frame.values))

    def only(self, names: list[str]) -> "Schedule":
        """Return the same schedule for some of the parameters, without keyframes that say nothing, of equal length."""
        frames = tuple(
            Keyframe(step=frame.step, values={k: v for k, v in frame.values.items() if k in names})
            for frame in self.keyframes
        )
        kept = tuple(frame for frame in frames if frame.values)
        return self.model_copy(update={"keyframes": kept})


def minimum_jerk(tau: np.ndarray) -> np.ndarray:
    """Ease from 0 to 1, at rest at both ends.

    10 tau^3 - 15 tau^4 + 6 tau^5
    """
    return tau**3 * (10 + tau * (6 * tau - 15))


def values_at(schedule: Schedule, name: str, steps: np.ndarray) -> np.ndarray:
    """Return a parameter's value at some steps, `(len(steps),)`.

    Raises:
        KeyError: no keyframe names the parameter.
    """
    points = [(frame.step, frame.values[name]) for frame in schedule.keyframes if name in frame.values]
    if not points:
        raise KeyError(name)
    at = np.array([step for step, _ in points], dtype=float)
    value = np.array([v for _, v in points], dtype=float)
    if len(points) == 1:
        return np.full(len(steps), value[0])
    interval = np.clip(np.searchsorted(at, steps, side="right") - 1, 0, len(at) - 2)
    tau = np.clip((steps - at[interval]) / (at[interval + 1] - at[interval]), 0.0, 1.0)
    return value[interval] + (value[interval + 1] - value[interval]) * minimum_jerk(tau)


def update_steps(schedule: Schedule) -> np.ndarray:
    """Return, for each update, the step whose values it uses, `(updates,)`."""
    steps = np.arange(schedule.steps)
    if schedule.final_step == "repeat" and len(steps) > 1:
        steps[-1] = steps[-2]
    return steps
