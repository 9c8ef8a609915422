"""Latents in; newly drawn decoders of them, trained for all members at once, and what these bring out.

A decoder is what follows the last site of a model: its own for a certificate, a small perceptron's for a probe.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from prepe import catalog, data
from prepe.catalog import Leakage
from prepe.data import streams
from prepe.data.task import Task
from prepe.metrics import selectivity
from prepe.models import Autoencoder, Edit, Forward, Model, Params
from prepe.train import State, Update, arithmetic, corrections

_CPU = torch.device("cpu")
_CHUNK, _LINE = 256, 32
"""Items run at once, and a number of them that a processor rounds the same wherever they begin."""


@dataclass(frozen=True)
class _Decoder:
    """The decoder of a model as a model of its own, whose inputs are latents."""

    whole: Model

    @property
    def unit_sites(self) -> frozenset[str]:
        return frozenset()

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        return self.whole.unpack(flat)

    def __call__(self, params: Params, inputs: Tensor, edits: dict[str, Edit] | None = None) -> Forward:
        return Forward(self.whole.decode(params, inputs), {})


def perceptron(width: int, hidden_dim: int, outputs: int) -> Autoencoder:
    """Return a model whose decoder is a perceptron with one hidden layer.

    Args:
        width: of its latents, at least 2.
        hidden_dim: of the hidden layer.
        outputs: how many numbers it gives.
    """
    part = catalog.Autoencoder(kind="autoencoder", latent_dim=width, hidden_dim=hidden_dim, normalize="none")
    return Autoencoder(part, 1, outputs)


def fit_decoders(
    model: Model,
    latents: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    *,
    seeds: list[int],
    stream: str,
    part: Leakage,
) -> dict[str, Tensor]:
    """Train newly drawn decoders by their squared error, with Adam and a rate that falls to 0.

    Args:
        model: whose decoder it is; the rest of it stays as it was drawn.
        latents: `(members, n, latent)`.
        targets: `(n, outputs)`.
        weights: relative frequency of each item in a draw, `(n,)`.
        seeds: the members', which key, with `stream`, new weights and what is drawn.
        stream: names the draws.
        part: for how long, at what rate and in which batches.

    Returns:
        Parameters in float32.
    """
    fresh = [int(streams.generator(seed, f"{stream}:init").integers(2**31)) for seed in seeds]
    state = State(model.init(fresh), 1)
    update = Update(cast(Model, _Decoder(model)), {}, state, [0], {})
    x, y = (torch.from_numpy(each.astype(np.float32)) for each in (latents, targets))
    member = torch.arange(len(x)).unsqueeze(-1)
    size, epsilon = corrections(part.steps).T
    rates = part.lr * (1 - np.arange(part.steps) / part.steps)
    numbers = np.stack([rates * size, epsilon, np.ones(part.steps)], axis=-1)[..., None]
    rows = torch.from_numpy(numbers.astype(np.float32))
    with arithmetic(_CPU):
        for step in range(part.steps):
            if step % streams.CHUNK == 0:
                drawn = streams.uniform(seeds, stream, step // streams.CHUNK, part.batch_size)
                index = torch.from_numpy(streams.weighted(drawn, weights))
            here = index[step % streams.CHUNK]
            update({"inputs": x[member, here].mT.contiguous(), "targets": y[here].mT.contiguous()}, rows[step])
    return model.unpack(state.params.detach())


@torch.no_grad()
def decoded(model: Model, params: Params, latents: np.ndarray) -> np.ndarray:
    """Return what decoders make of latents, `(members, n, latent) -> (members, n, outputs)`, in float64."""
    n = latents.shape[-2]
    filled = np.concatenate([latents, np.repeat(latents[:, -1:], -n % _LINE, axis=1)], axis=1)
    x = torch.from_numpy(filled.astype(np.float32)).mT
    with arithmetic(_CPU):
        outputs = [model.decode(params, each.contiguous().mT) for each in x.split(_CHUNK, dim=-1)]
    return torch.cat(outputs, dim=-2)[:, :n].numpy().astype(float)


def certificate(
    part: Leakage,
    model: Model,
    trained: np.ndarray,
    after: np.ndarray,
    task: Task,
    similarity: np.ndarray,
    d_star: float,
    seeds: list[int],
) -> np.ndarray:
    """Return how much of a concept a decoder that learns everything anew brings out, `(members,)` in [0, 1].

    1 - min(1, mean error on target items / D*)

    Args:
        part: how it learns; its width, where a model has no decoder of its own.
        model: what is left of the model, whose decoder's shape is taken.
        trained, after: edited latents of the training and of the grid items, `(members, n, latent)`.
        task: whose items they are; training items are drawn as often as in training.
        similarity: of the grid items, `(n,)`.
        d_star: D*, above 0.
        seeds: the members'.
    """
    if not isinstance(model, Autoencoder):
        trained, after = (widened(each, max(2, each.shape[-1])) for each in (trained, after))
        model = perceptron(after.shape[-1], part.hidden_dim, task.train.targets.shape[1])
    params = fit_decoders(
        model, trained, task.train.targets, task.weights, seeds=seeds, stream="leakage:certificate", part=part
    )
    target = selectivity.targets(similarity)
    outputs = decoded(model, params, np.compress(target, after, axis=1)).clip(*task.output_range)
    error = data.error(outputs, task.grid.targets[target])
    return np.asarray(1 - np.minimum(1, error.mean(-1) / d_star))


def widened(latents: np.ndarray, width: int) -> np.ndarray:
    """Return latents with zeros added up to a width, `(members, n, latent) -> (members, n, width)`."""
    return np.pad(latents, ((0, 0), (0, 0), (0, width - latents.shape[-1])))
