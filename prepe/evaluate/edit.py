"""A trial's intervention and its trained members in; the models that it leaves, edited, replaced or healed, out."""

import torch
from torch import Tensor

from prepe import attacks, interventions, train
from prepe.catalog import Deletion, Erase, Fitted, Intervention, Reset, Retrain, Vector
from prepe.data.task import Task
from prepe.errors import PrepeError
from prepe.evaluate.aim import Aim
from prepe.interventions import Edited, Place
from prepe.spec import Trial

_OTHER_SEEDS = 1_000_000_007
"""Added to a member's seed for weights that are none of its own."""


def edit(trial: Trial, part: Intervention, task: Task, seeds: list[int], plain: Edited) -> Edited:
    """Return what an intervention leaves of the models: edited and, after a deletion, healed if that is asked for.

    Args:
        trial: whose intervention it is.
        part: the intervention.
        task: of the trial.
        seeds: the members' names, which key what healing draws.
        plain: the models as they were trained.
    """
    aim = Aim(trial, part, task)
    return edited_by(trial, part, aim, aim.found(trial, part, task, seeds, plain), task, seeds, plain)


def pinned(trial: Trial, part: Intervention, task: Task, seed: int, plain: Edited) -> Intervention:
    """Return an intervention whose direction is given, as it was found in one member.

    Raises:
        PrepeError: it is an eraser, which is more than a direction.
    """
    if not isinstance(part.direction, Fitted):
        return part
    if isinstance(part, Erase):
        raise PrepeError(
            f"intervention {part.label!r}: an eraser is an affine map, which no direction says; allowed: another one"
        )
    (found,) = Aim(trial, part, task).found(trial, part, task, [seed], plain)
    return part.model_copy(update={"direction": Vector(components=tuple(found.basis(0)[0, 0].tolist()))})


def edited_by(
    trial: Trial,
    part: Intervention,
    aim: Aim,
    places: list[Place],
    task: Task,
    seeds: list[int],
    plain: Edited,
) -> Edited:
    """Return what an intervention leaves of the models, with the places found where it acts; see `edit`."""
    match part:
        case Retrain():
            left = _replaced(plain, train.train(trial.retrained(part), seeds, device=_device(plain)).params)
        case Reset():
            left = _replaced(plain, plain.model.init([seed + _OTHER_SEEDS for seed in seeds]))
        case _:
            left = interventions.apply(part, places, plain.model, plain.params)
    if not isinstance(part, Deletion) or not part.heal:
        return left
    inputs = task.train.inputs
    trained, fallback = aim.grade(inputs), aim.fallback(inputs)
    healed = attacks.heal(part.heal, left.model, left.params, task, trained, fallback, part.power, seeds)
    return Edited(left.model, {name: each.to(torch.float64) for name, each in healed.items()})


def _device(plain: Edited) -> str:
    return str(next(iter(plain.params.values())).device)


def _replaced(plain: Edited, params: Tensor) -> Edited:
    """Return a model with other weights, `(members, parameters)`."""
    return Edited(plain.model, plain.model.unpack(params.to(_device(plain), torch.float64)))
