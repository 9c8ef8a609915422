"""A model from which a concept was deleted in; how soon fine-tuning brings the concept back out.

Watched are items of the concept that the attacker has not got. Where they follow from what it has, as a colour does
from its neighbours, a concept comes back also in models that never saw it: compare with such models.
"""

import numpy as np
import torch
from torch import Tensor

from prepe import data
from prepe.attacks.finetune import NO_BYSTANDER, finetune
from prepe.catalog import Recovery
from prepe.data import streams
from prepe.data.task import Task
from prepe.errors import PrepeError
from prepe.metrics import selectivity
from prepe.models import Model, Params

_STRIDE = 5
_RECOVERED = 0.1


def recover(
    part: Recovery,
    model: Model,
    params: Params,
    task: Task,
    train_similarity: np.ndarray,
    grid_similarity: np.ndarray,
    d_star: float,
    seeds: list[int],
) -> dict[str, np.ndarray]:
    """Attack members after a deletion; see `catalog.Recovery`.

    Args:
        part: what the attacker has.
        model: what is left of the model.
        params: `(members, ...)`.
        task: whose items they are.
        train_similarity, grid_similarity: of the training and of the grid items to the concept, `(n,)`.
        d_star: D*, the damage of an ideal deletion.
        seeds: the members'.

    Returns:
        `recover_steps`, `recover_auc` and `rebound`, `(members,)`; `catalog.EFFECT_METRICS` says what each means. And
        `recover_curve`, `(members, watched)`, the mean error on the watched items in units of D*, after `recover_at`,
        `(watched,)`, updates.

    Raises:
        PrepeError: see `split`.
    """
    given, weights, held_out = split(part, task, train_similarity, grid_similarity)
    steps, errors = [], []
    inputs = torch.from_numpy(task.grid.inputs[held_out].astype(np.float32))

    @torch.no_grad()
    def watch(step: int, now: dict[str, Tensor]) -> None:
        if step % _STRIDE and step != part.steps:
            return
        example = next(iter(now.values()))
        x = inputs.to(example.device).expand(len(example), *inputs.shape)
        outputs = model(now, x).outputs.clamp(*task.output_range).cpu().numpy().astype(float)
        steps.append(step)
        errors.append(data.error(outputs, task.grid.targets[held_out]).mean(-1))

    finetune(
        model,
        params,
        given[0],
        given[1],
        weights,
        seeds=seeds,
        stream=f"recovery:{part.data}",
        steps=part.steps,
        lr=part.lr,
        batch_size=part.batch_size,
        watch=watch,
    )
    curve, at = np.stack(errors, axis=-1), np.array(steps, dtype=float)
    back = curve < _RECOVERED * d_star
    return {
        "recover_steps": np.where(back.any(-1), at[back.argmax(-1)], float(part.steps)),
        "recover_auc": np.trapezoid(curve, at, axis=-1) / (part.steps * d_star),
        "rebound": 1 - curve[:, -1] / np.maximum(curve[:, 0], 1e-12),
        "recover_curve": curve / d_star,
        "recover_at": np.array(steps),
    }


def split(
    part: Recovery, task: Task, train_similarity: np.ndarray, grid_similarity: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Return what the attacker has (inputs and targets), how often each is drawn, and which grid items are watched.

    Watched are the targets that it has not got. Where it would have every one, as in a task whose items are all trained
    on, half of them are kept from it.

    Raises:
        PrepeError: the attacker has nothing, or no target is left to watch.
    """
    targets = np.flatnonzero(selectivity.targets(grid_similarity))
    if part.data == "few":
        if part.items >= len(targets):
            most = f"at most {len(targets) - 1}, so that one is left to watch" if len(targets) > 1 else "data = 'rest'"
            raise PrepeError(f"items: {part.items} of the {len(targets)} target items of the grid; allowed: {most}")
        shuffled = _shuffled(targets)
        few, held_out = shuffled[: part.items], shuffled[part.items :]
        return (task.grid.inputs[few], task.grid.targets[few]), np.ones(len(few)), held_out
    weights = task.weights * selectivity.bystanders(train_similarity) if part.data == "rest" else task.weights
    if not weights.any():
        raise PrepeError(
            f"data: 'rest' stands here, and {NO_BYSTANDER}; allowed: 'few' or 'all', or more training items"
        )
    of_grid, has = _rounded(task.grid.inputs), set(_rounded(task.train.inputs[weights > 0]))
    held_out = np.array([i for i in targets if of_grid[i] not in has], dtype=int)
    if not len(held_out):
        held_out = _shuffled(targets)[(len(targets) + 1) // 2 :]
        kept_from_it = {of_grid[i] for i in held_out}
        weights = weights * np.array([each not in kept_from_it for each in _rounded(task.train.inputs)])
    if not len(held_out):
        raise PrepeError(
            f"data: {part.data!r} has every one of the {len(targets)} target items of the grid, so none is left to "
            "watch; allowed: 'few', or other training items"
        )
    return (task.train.inputs, task.train.targets), weights, held_out


def _shuffled(targets: np.ndarray) -> np.ndarray:
    """Return them in the order in which attackers get them, the same one for all attacks and members."""
    return streams.generator(0, "recovery:items").permutation(targets)


def _rounded(inputs: np.ndarray) -> list[tuple[float, ...]]:
    return [tuple(each) for each in np.round(inputs, 9).tolist()]
