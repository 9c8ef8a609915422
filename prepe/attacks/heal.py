"""A model from which a concept was deleted in; the same, fine-tuned to live with that, out.

After a deletion the latents that are left are at unit length again by themselves, since the normalisation comes after
what was deleted. What the model makes of the concept is chance, and fine-tuning on everything else brings the concept
back, since colours around it say what it was. Healing towards a stated fallback says what it should be instead.
"""

import numpy as np
from torch import Tensor

from prepe.attacks.finetune import NO_BYSTANDER, finetune
from prepe.catalog import Heal
from prepe.data.task import Task
from prepe.errors import PrepeError
from prepe.metrics import selectivity
from prepe.models import Model, Params


def healing_weights(part: Heal, task: Task, similarity: np.ndarray) -> np.ndarray:
    """Return how often each training item is drawn in healing, `(n,)`, by their similarity to the concept, `(n,)`.

    Raises:
        PrepeError: it is towards the rest, and there is no bystander; anything else would be drawn in its place.
    """
    if part.towards == "fallback":
        return task.weights
    weights = np.asarray(task.weights * selectivity.bystanders(similarity))
    if not weights.any():
        raise PrepeError(
            f"towards: 'rest' stands here, and {NO_BYSTANDER}; allowed: 'fallback', or more training items"
        )
    return weights


def heal(
    part: Heal,
    model: Model,
    params: Params,
    task: Task,
    similarity: np.ndarray,
    fallback: np.ndarray,
    power: float,
    seeds: list[int],
) -> dict[str, Tensor]:
    """Fine-tune members after a deletion; see `catalog.Heal`.

    Args:
        part: towards what, and for how long.
        model: what is left of the model.
        params: `(members, ...)`.
        task: whose training items are drawn.
        similarity: of these to the concept, `(n,)`.
        fallback: what an ideal deletion puts in the concept's place, `(outputs,)`, or for each of these items,
            `(n, outputs)`.
        power: p of the ideal response D* s^p.
        seeds: the members'.

    Raises:
        PrepeError: see `healing_weights`.
    """
    own, weights = task.train.targets, healing_weights(part, task, similarity)
    targets = own
    if part.towards == "fallback":
        targets = own + (similarity ** (power / 2))[:, None] * (fallback - own)
    return finetune(
        model,
        params,
        task.train.inputs,
        targets,
        weights,
        seeds=seeds,
        stream="heal",
        steps=part.steps,
        lr=part.lr,
        batch_size=part.batch_size,
    )
