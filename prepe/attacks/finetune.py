"""Trained members in; the same after some more updates by the task's own loss, all at once, out."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from prepe.data import streams
from prepe.models import Model, Params, packed
from prepe.train import State, Update, arithmetic, corrections

NO_BYSTANDER = "no training item is unlike the concept (s^3 < 0.01)"
Watch = Callable[[int, dict[str, Tensor]], None]


def finetune(
    model: Model,
    params: Params,
    inputs: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    *,
    seeds: list[int],
    stream: str,
    steps: int,
    lr: float,
    batch_size: int,
    watch: Watch | None = None,
) -> dict[str, Tensor]:
    """Go on training without any term, with a fresh Adam, at a constant rate.

    Args:
        model: any number of members at once.
        params: `(members, ...)`; not changed.
        inputs: items, `(n, inputs)`.
        targets: what they should become, `(n, outputs)`.
        weights: relative frequency of each item in a draw, `(n,)`.
        seeds: the members', which key what is drawn together with `stream`.
        stream: names the draws.
        steps: updates.
        lr: learning rate.
        batch_size: items in a batch, drawn with replacement.
        watch: called before each update, and after the last one, with the number of updates done and the parameters.

    Returns:
        Parameters in float32.
    """
    flat = packed(params, model.layout).detach().float().clone()
    place = flat.device
    state = State(flat, 1)
    update = Update(model, {}, state, [0], {})
    x, y = (torch.from_numpy(each.astype(np.float32)).to(place) for each in (inputs, targets))
    size, epsilon = corrections(steps).T
    numbers = np.stack([lr * size, epsilon, np.ones(steps)], axis=-1)[..., None]
    rows = torch.from_numpy(numbers.astype(np.float32)).to(place)
    with arithmetic(place):
        for step in range(steps):
            if watch:
                watch(step, model.unpack(state.params.detach()))
            if step % streams.CHUNK == 0:
                drawn = streams.uniform(seeds, stream, step // streams.CHUNK, batch_size)
                index = torch.from_numpy(streams.weighted(drawn, weights)).to(place)
            here = index[step % streams.CHUNK]
            update({"inputs": x[here].mT.contiguous(), "targets": y[here].mT.contiguous()}, rows[step])
        if watch:
            watch(steps, model.unpack(state.params.detach()))
    return model.unpack(state.params.detach())
