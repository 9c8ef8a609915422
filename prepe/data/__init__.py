"""What models learn from: a `data` part of a specification in, a `Task` out."""

from collections.abc import Callable
from typing import Any

from prepe.catalog import DataPart
from prepe.data import color
from prepe.data.task import Items, Task, error

_TASKS: dict[str, Callable[[Any], Task]] = {"rgb_grid": color.task}


def task(part: DataPart) -> Task:
    """Make the task that a `data` part describes."""
    return _TASKS[part.kind](part)


__all__ = ["Items", "Task", "error", "task"]
