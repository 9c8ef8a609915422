"""What models learn from: a `data` part of a specification in, a `Task` out."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from prepe.catalog import DATA, DataPart
from prepe.data import codes, color
from prepe.data.task import Items, Ring, Task, error
from prepe.errors import PrepeError

_TASKS: dict[str, Callable[[Any], Task]] = {
    "rgb_grid": color.rgb_task,
    "hsv_cube": color.hsv_task,
    "rgb_codes": codes.codes_task,
}
_KEPT = 32


def task(part: DataPart) -> Task:
    """Make the task that a `data` part describes; equal parts have one task between them.

    Raises:
        PrepeError: a user's own function in it does not do what is needed, or nothing is left of a lattice.
    """
    return _task(part.model_dump_json())


@lru_cache(_KEPT)
def _task(text: str) -> Task:
    part = DATA[json.loads(text)["kind"]].model_validate_json(text)
    return _without(part, _TASKS[part.kind](part))


def _without(part: DataPart, whole: Task) -> Task:
    """Hold out of training what is too much like the items that the data are to be unlike."""
    kept = np.ones(len(whole.train), dtype=bool)
    for i, each in enumerate(part.unlike):
        way = whole.similarities[each.similarity or part.similarities()[0]]
        kept &= way(whole.train.inputs, whole.item(each.item)) <= each.above
        if not (whole.weights * kept).any():
            raise PrepeError(f"data.unlike[{i}].above: {each.above:g} leaves no item; allowed: a higher one")
    if kept.all():
        return whole
    same = whole.train.inputs is whole.train.targets
    names = [name for name, keeps in zip(whole.train.names, kept, strict=True) if keeps]
    inputs = whole.train.inputs[kept]
    return replace(
        whole,
        train=Items(names, inputs, inputs if same else whole.train.targets[kept]),
        weights=whole.weights[kept],
        label_probability={name: each[kept] for name, each in whole.label_probability.items()},
    )


__all__ = ["Items", "Ring", "Task", "error", "task"]
