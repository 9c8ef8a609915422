"""Models: a `model` part of a specification in, a function from parameters and inputs to outputs and sites out."""

from collections.abc import Callable
from typing import Any

from prepe.catalog import ModelPart
from prepe.data.task import Task
from prepe.models.autoencoder import Autoencoder, Edit, Forward, Params

_MODELS: dict[str, Callable[[Any, int, int], Autoencoder]] = {"autoencoder": Autoencoder}


def build(part: ModelPart, task: Task) -> Autoencoder:
    """Make the model that a `model` part describes, for a task's inputs and outputs."""
    return _MODELS[part.kind](part, task.train.inputs.shape[1], task.train.targets.shape[1])


__all__ = ["Autoencoder", "Edit", "Forward", "Params", "build"]
