"""Models: a `model` part of a specification in, a function from parameters and inputs to outputs and activations out."""

from prepe.catalog import Part
from prepe.data.task import Task
from prepe.models.autoencoder import Autoencoder, Edit, Forward, Params

_MODELS = {"autoencoder": Autoencoder}


def build(part: Part, task: Task) -> Autoencoder:
    """Make the model that a `model` part describes, for a task's inputs and outputs."""
    return _MODELS[part.kind](part, task.train.inputs.shape[1], task.train.targets.shape[1])  # type: ignore


__all__ = ["Autoencoder", "Edit", "Forward", "Params", "build"]
