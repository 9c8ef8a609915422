"""Models: a `model` part of a specification in, a function from parameters and inputs to outputs and sites out."""

from collections.abc import Callable
from typing import Any

from prepe import catalog
from prepe.catalog import ModelPart
from prepe.data.task import Task
from prepe.models.autoencoder import Autoencoder
from prepe.models.custom import CustomModel
from prepe.models.model import Edit, Forward, Model, Params, packed

_MODELS: dict[str, Callable[[Any, int, int], Model]] = {"autoencoder": Autoencoder}


def build(part: ModelPart, task: Task) -> Model:
    """Make the model that a `model` part describes, for a task's inputs and outputs.

    Raises:
        PrepeError: a user's own function does not make a model.
    """
    widths = task.train.inputs.shape[1], task.train.targets.shape[1]
    return CustomModel(part, *widths) if isinstance(part, catalog.CustomModel) else _MODELS[part.kind](part, *widths)


__all__ = ["Autoencoder", "CustomModel", "Edit", "Forward", "Model", "Params", "build", "packed"]
