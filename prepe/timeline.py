"""A sweep file or a dopesheet in; what its schedule says, at its keyframes or at any step, out. Nothing is trained."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from prepe import sweep
from prepe.catalog import unknown
from prepe.errors import PrepeError
from prepe.keyframes import Schedule, keys_of, phase_starts, read_dopesheet, update_steps, values_at


def load(file: str | Path, variant: str | None = None) -> Schedule:
    """Return the schedule of a dopesheet (`.csv`), or of a sweep file where its search starts, in one of its variants.

    Raises:
        PrepeError: the file is wrong, or it has no such variant.
    """
    if Path(file).suffix.lower() == ".csv":
        if variant is not None:
            raise PrepeError(f"{file}: {unknown(variant, (), 'variant')}, since it is a dopesheet")
        return read_dopesheet(file)
    loaded = sweep.load(file)
    if variant is not None and variant not in loaded.variants:
        raise PrepeError(f"{file}: {unknown(variant, loaded.variants, 'variant')}")
    return loaded.trial(loaded.start() | ({"variant": variant} if variant is not None else {})).training.schedule


def keyframes(schedule: Schedule) -> list[dict[str, Any]]:
    """Return a row for each keyframe: `step`, the `phase` that it begins, `actions`, and `values` of what is keyed."""
    return [
        {"step": frame.step, "phase": frame.phase, "actions": list(frame.actions), "values": dict(frame.values)}
        for frame in schedule.keyframes
    ]


def at(schedule: Schedule, step: int, source: str | Path = "the schedule") -> dict[str, Any]:
    """Return what holds at a step, before any rule acts.

    `step`; the `phase` that it lies in, None before the first, and whether it `starts` or `ends` it; `actions`;
    `values` of every parameter as the update at this step uses them, so that a schedule that repeats its final step
    has the values of the step before there; and `keys`, of parameters keyed here: `value`, `next_step`, `next_value`,
    the latter two None after the last key.

    Raises:
        PrepeError: there is no such step; the message begins with the `source`.
    """
    if not 0 <= step < schedule.steps:
        raise PrepeError(f"{source}: there is no step {step}; allowed: 0 to {schedule.steps - 1}")
    starts = [*phase_starts(schedule), (schedule.steps, "")]
    phase, first, after = next(
        (name, first, after) for (first, name), (after, _) in pairwise(starts) if first <= step < after
    )
    used = update_steps(schedule)[[step]]
    return {
        "step": step,
        "phase": phase or None,
        "starts": bool(phase) and step == first,
        "ends": bool(phase) and step == min(after, schedule.steps) - 1,
        "actions": list(schedule.actions().get(step, ())),
        "values": {name: values_at(schedule, name, used).item() for name in schedule.names()},
        "keys": {name: _keyed(schedule, name, step) for name in schedule.names() if step in keys_of(schedule, name)[0]},
    }


def _keyed(schedule: Schedule, name: str, step: int) -> dict[str, Any]:
    keys = [(int(at), float(value)) for at, value in zip(*keys_of(schedule, name), strict=True)]
    value = dict(keys)[step]
    following = next((key for key in keys if key[0] > step), (None, None))
    return {"value": value, "next_step": following[0], "next_value": following[1]}
