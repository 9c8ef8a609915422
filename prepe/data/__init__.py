"""What models learn from: a `data` part of a specification in, a `Task` out."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from prepe.catalog import DATA, DataPart
from prepe.data import color
from prepe.data.task import Items, Ring, Task, error

_TASKS: dict[str, Callable[[Any], Task]] = {"rgb_grid": color.rgb_task, "hsv_cube": color.hsv_task}
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
    return _TASKS[part.kind](part)


__all__ = ["Items", "Ring", "Task", "error", "task"]
