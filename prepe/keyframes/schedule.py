"""What a schedule is: keyframes, phases, actions and rules, and how values move from one keyframe to the next.

Between two keyframes a value moves in its column's timing; before the first it holds the first, after the last the
last.

Source: Flash and Hogan, "The coordination of arm movements", J. Neurosci. 5 (1985), for the polynomial.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from prepe.catalog import Count, NonNegative, Part, unknown
from prepe.keyframes.rules import ExtendRule, Rule
from prepe.keyframes.steps import STEP_FORMS, resolve
from prepe.keyframes.transition import LOG_FLOOR, Space, Timing

MAX_STEPS = 10_000_000
"""Values are tabulated for every step beforehand, so there is a bound to their number."""
_OTHER_KEYS = ("step", "phase", "actions")


class Column(Part):
    """How one parameter moves: in its value or its logarithm, and with which timing (the schedule's when None)."""

    space: Space = "linear"
    timing: Timing | None = None


class Phase(Part):
    """What a phase has of its own: the size of a batch, and keys of the [data] table that replace those there."""

    batch_size: Count | None = None
    data: dict[str, Any] = {}


class Keyframe(Part):
    """A step and the values that some parameters have there; in a file, one flat table.

    It may also begin a phase, by its name, and cause actions.
    """

    step: Annotated[int, Field(ge=0, lt=MAX_STEPS)]
    phase: str | None = None
    actions: Annotated[tuple[str, ...], Field(strict=False)] = ()
    values: dict[str, NonNegative]

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict) and "values" not in value:
            values = {key: v for key, v in value.items() if key not in _OTHER_KEYS}
            return {key: v for key, v in value.items() if key in _OTHER_KEYS} | {"values": values}
        return value


class Schedule(Part):
    """Hyperparameters over steps: the learning rate `lr`, one weight for every term, and what the data are opened by.

    `loss-recon` weighs the reconstruction, and is 1 when no keyframe names it. `steps` is the number of updates, by
    default the last keyframe's step + 1. `final_step` says what the last update uses: `"reach"` the last step's own
    values, `"repeat"` those of the step before (as some published results do). `timing` is that of every column that
    has none of its own. A keyframe's step may be relative to the nearest absolute ones: `"+10"`, `"-1"`, `"+0.5"`.
    """

    keyframes: Annotated[tuple[Keyframe, ...], Field(min_length=1, strict=False)]
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = Field(
        default_factory=lambda given: given["keyframes"][-1].step + 1
    )
    batch_size: Count = 64
    final_step: Literal["repeat", "reach"] = "reach"
    timing: Timing = "minjerk"
    columns: dict[str, Column] = {}
    phases: dict[str, Phase] = {}
    rules: Annotated[tuple[Rule, ...], Field(strict=False)] = ()

    @field_validator("keyframes", mode="before")
    @classmethod
    def _resolved(cls, keyframes: Any) -> Any:
        """Replace relative steps, which are texts, by numbers."""
        if not isinstance(keyframes, list | tuple) or not all(isinstance(frame, dict) for frame in keyframes):
            return keyframes
        steps = [frame.get("step") for frame in keyframes]
        plain = [isinstance(step, str | int) and not isinstance(step, bool) for step in steps]
        if not any(isinstance(step, str) for step in steps) or not all(plain):
            return keyframes  # nothing is relative, or something else is wrong, which each keyframe says of itself
        for i, step in enumerate(steps):
            if isinstance(step, int) and step < 0:
                raise ValueError(f"[{i}].step: {step} is below 0; {STEP_FORMS}")
        found = resolve([str(step) for step in steps])
        for i, (written, step) in enumerate(zip(steps, found, strict=True)):
            if step is None:
                raise ValueError(f"[{i}].step: {written!r} cannot be resolved; {STEP_FORMS}")
        return [{**frame, "step": step} for frame, step in zip(keyframes, found, strict=True)]

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

    @model_validator(mode="after")
    def _before_the_end(self) -> "Schedule":
        late = [(i, frame) for i, frame in enumerate(self.keyframes) if frame.step >= self.steps]
        if late:
            i, frame = late[0]
            held = f", with the action {frame.actions[0]!r}," if frame.actions else ""
            raise ValueError(
                f"keyframes[{i}].step: {frame.step}{held} lies past the end; allowed: 0 to {self.steps - 1}, as steps "
                f"is {self.steps}"
            )
        return self

    @model_validator(mode="after")
    def _known_names(self) -> "Schedule":
        names, phases = self.names(), [frame.phase for frame in self.keyframes if frame.phase is not None]
        for key, given, known in (("columns", self.columns, names), ("phases", self.phases, phases)):
            for name in given:
                if name not in known:
                    raise ValueError(f"{key}.{name}: no keyframe names it; allowed: {', '.join(map(str, known))}")
        labels = [rule.name for rule in self.rules]
        for i, rule in enumerate(self.rules):
            if rule.name in labels[:i]:
                raise ValueError(f"rules[{i}].name: {rule.name!r} stands twice; allowed: each name once")
            if rule.kind == "extend" and rule.phase not in phases:
                raise ValueError(f"rules[{i}].phase: {unknown(rule.phase, phases, 'phase')}")
        return self

    def actions(self) -> dict[int, tuple[str, ...]]:
        """Return the actions of each step that has any."""
        return {frame.step: frame.actions for frame in self.keyframes if frame.actions}

    def only(self, names: list[str]) -> "Schedule":
        """Return the same schedule for some of the parameters, of equal length, with all phases but no rules."""
        frames = tuple(
            frame.model_copy(update={"values": {k: v for k, v in frame.values.items() if k in names}, "actions": ()})
            for frame in self.keyframes
        )
        kept = tuple(frame for frame in frames if frame.values or frame.phase is not None)
        columns = {name: column for name, column in self.columns.items() if name in names}
        return self.model_copy(update={"keyframes": kept, "columns": columns, "rules": ()})


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
    at, value = keys_of(schedule, name)
    column = schedule.columns.get(name, Column())
    value = inward(value, column.space)
    if len(at) == 1:
        moved = np.full(len(steps), value[0])
    else:
        interval, _, tau = between_keys(at, steps)
        eased = _EASES[column.timing or schedule.timing](tau)
        moved = value[interval] + (value[interval + 1] - value[interval]) * eased
    return np.exp(moved) if column.space == "log" else moved


def inward(values: np.ndarray, space: Space) -> np.ndarray:
    """Return what moves: values, or in log space their logarithms."""
    return np.log(np.maximum(values, LOG_FLOOR)) if space == "log" else values


def between_keys(at: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each step the number of the key before it, the steps from there to the next, and the share gone.

    Before the first key the share is 0, after the last it is 1 of the last two.

    Args:
        at: the steps of two keys or more, rising.
        steps: wherever.
    """
    interval = np.clip(np.searchsorted(at, steps, side="right") - 1, 0, len(at) - 2)
    duration = (at[interval + 1] - at[interval]).astype(float)
    return interval, duration, np.clip((steps - at[interval]) / duration, 0.0, 1.0)


def keys_of(schedule: Schedule, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which a parameter has keyframes, and its values there.

    Raises:
        KeyError: no keyframe names the parameter.
    """
    points = [(frame.step, frame.values[name]) for frame in schedule.keyframes if name in frame.values]
    if not points:
        raise KeyError(name)
    at, value = np.array(points, dtype=float).T
    return at, value


_EASES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "minjerk": minimum_jerk,
    "linear": lambda tau: tau,
    "step-end": lambda tau: np.floor(tau),
}


def phase_starts(schedule: Schedule) -> list[tuple[int, str]]:
    """Return each phase's first step and name, in order; steps before the first belong to a phase named ``""``."""
    starts = [(frame.step, frame.phase) for frame in schedule.keyframes if frame.phase is not None]
    return starts if starts and starts[0][0] == 0 else [(0, ""), *starts]


def most_updates(schedule: Schedule) -> int:
    """Return the most updates that a member can do: those of all steps, and those that it may wait."""
    return schedule.steps + sum(rule.at_most_steps for rule in schedule.rules if isinstance(rule, ExtendRule))


def update_steps(schedule: Schedule) -> np.ndarray:
    """Return, for each update, the step whose values it uses, `(updates,)`."""
    steps = np.arange(schedule.steps)
    if schedule.final_step == "repeat" and len(steps) > 1:
        steps[-1] = steps[-2]
    return steps
