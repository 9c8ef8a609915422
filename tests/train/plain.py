"""Training as a textbook would write it: one member, float64, a term at a time, with `torch.optim.Adam`.

It shares with `prepe.train` the tasks, the schedule's values, the initial parameters and the random numbers alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu, logsigmoid, normalize, relu

from prepe import data, keyframes, models
from prepe.catalog import DataPart
from prepe.data import streams
from prepe.spec import Training

from .same import Rows


@dataclass
class Batch:
    """What one update learns from."""

    inputs: Tensor
    labels: dict[str, Tensor]
    weights: Tensor | None
    drawn: dict[str, int] = field(default_factory=dict)


def plain_training(training: Training, seed: int, *, behind: int = 1, late: int = 0) -> tuple[Tensor, Rows]:
    """Train one member, and keep every part of the loss and the label counts.

    Args:
        training: what to train; its model is an autoencoder of depth 1.
        seed: of the member.
        behind: how many steps the draw follows the schedule by.
        late: how many steps after its own an action is done.
    """
    schedule, task = training.schedule, data.task(training.data)
    model = models.build(training.model, task)
    flat = torch.nn.Parameter(model.init([seed])[0].double())
    optimizer = torch.optim.Adam([flat])
    names = [*training.parameters(), *([] if "loss-recon" in training.parameters() else ["loss-recon"])]
    at = np.arange(schedule.steps)
    values = {
        name: keyframes.values_at(schedule, name, at) if name in schedule.names() else np.ones(len(at))
        for name in names
    }
    captured: dict[str, Tensor] = {}
    counts = dict.fromkeys(training.data.labels, 0)
    rows: Rows = {}
    for step, batch in enumerate(_batches(training, seed, values, behind)):
        network = _network(training, model.unpack(flat))
        if step - late in schedule.actions():
            captured = {
                name: network(_items(training, term))[1].detach()
                for name, term in training.terms.items()
                if term.kind == "anchor_captured" and term.action in schedule.actions()[step - late]
            } | captured
        raw, z, outputs = network(batch.inputs, batch.labels)
        recon = _mean(((outputs - batch.inputs) ** 2).mean(-1), batch.weights)
        terms = {}
        for name, term in training.terms.items():
            x = raw if term.site == "encoder" else z
            if term.kind == "anchor_captured":
                now = network(_items(training, term))[1]
                terms[name] = ((now - captured[name]) ** 2).mean() if name in captured else torch.tensor(0.0)
            elif term.kind == "classify":
                logit, label = term.scale * (_cosine(term, z) - term.middle), batch.labels[term.label]
                each = torch.where(label > 0, -term.positive * logsigmoid(logit), -logsigmoid(-logit))
                terms[name] = _mean(each, batch.weights)
            elif term.kind == "fallback":
                terms[name] = _mean(_fallback(term, z, batch.inputs, network), batch.weights)
            elif term.kind == "repel_euclidean":
                terms[name] = FORMULAS[term.kind](term, x)
            elif term.labels:
                share = sum(affinity * batch.labels[label] for label, affinity in term.labels.items()).clamp(0, 1)
                terms[name] = (FORMULAS[term.kind](term, x) * share).sum() / (share.sum() + 1e-8)
            else:
                terms[name] = _mean(FORMULAS[term.kind](term, x), batch.weights)
        total = values["loss-recon"][step] * recon + sum(values[name][step] * terms[name] for name in terms)
        for label, drawn in batch.drawn.items():
            counts[label] += drawn
            rows[step, "label", label] = np.array(counts[label])
        for quantity, name, value in (
            ("loss", "recon", recon),
            ("loss", "total", total),
            *(("term", name, terms[name]) for name in terms if values[name][step] != 0),
        ):
            rows[step, quantity, name] = value.detach().numpy()
        optimizer.zero_grad()
        total.backward()
        optimizer.param_groups[0]["lr"] = values["lr"][step]
        optimizer.step()
    return flat.detach(), rows


def _mean(each: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over the batch; weights, which add up to 1, count before it is taken."""
    return (each if weights is None else each * weights).mean()


# --- the network -----------------------------------------------------------------------------------------------------


def _network(training: Training, params: dict[str, Tensor]) -> Callable[..., Any]:
    """Return a function from inputs, or latents, to activations before and after normalisation, and outputs."""
    part: Any = training.model
    activate = {"gelu": gelu, "relu": relu}[part.activation]

    def half(name: str, x: Tensor) -> Tensor:
        hidden = activate(x @ params[f"{name}.0.weight"].T + params[f"{name}.0.bias"])
        return hidden @ params[f"{name}.1.weight"].T + params[f"{name}.1.bias"]

    def run(x: Tensor, labels: dict[str, Tensor] | None = None, *, latent: bool = False) -> Any:
        raw = x if latent else half("encoder", x)
        z = normalize(raw, eps=1e-12) if part.normalize == "unit" else raw
        for route in training.routes.values() if labels else ():
            held = torch.ones(z.shape[-1], dtype=torch.bool)
            held[list(route.axes)] = False
            z = torch.where(held & (labels[route.label] > 0)[:, None], z.detach(), z)
        outputs = half("decoder", z)
        return raw, z, outputs.sigmoid() if part.output == "sigmoid" else outputs

    return run


def _items(training: Training, term: Any) -> Tensor:
    return torch.from_numpy(np.stack([data.task(training.data).item(item) for item in term.items]))


# --- the terms -------------------------------------------------------------------------------------------------------


def _cosine(term: Any, z: Tensor) -> Tensor:
    return z @ torch.from_numpy(term.direction.unit(z.shape[-1])) / (z.norm(dim=-1) + 1e-8)


def _fallback(term: Any, z: Tensor, wanted: Tensor, network: Callable[..., Any]) -> Tensor:
    """Decode what is left without the direction, and want there what was wanted, or grey as far as it lay along it."""
    direction = torch.from_numpy(term.direction.unit(z.shape[-1]))
    share = _cosine(term, z).clamp_min(0).detach()[:, None]
    left = z - (z @ direction)[:, None] * direction
    return ((network(left, latent=True)[2] - (1 - share) * wanted - share * term.output[0]) ** 2).mean(-1)


def _separate(term: Any, z: Tensor) -> Tensor:
    unit = z / (z.norm(dim=-1, keepdim=True) + 1e-8)
    cosine = unit @ unit.T
    return (((cosine - 1).abs() > 1e-5) * ((cosine + 1) / 2 if term.shift else cosine) ** term.power).sum(-1)


def _repel(term: Any, z: Tensor) -> Tensor:
    points = z[:, list(term.axes)]
    distances = ((points[:, None] - points[None]) ** 2).sum(-1)
    off = ~torch.eye(len(z), dtype=torch.bool)
    return (1 / (distances[off] + 1e-6)).sum() / len(z) ** 2


def _others(term: Any, z: Tensor) -> Tensor:
    return z[:, [axis for axis in range(z.shape[-1]) if axis not in term.axes]] ** 2


FORMULAS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "anchor": lambda term, z: 1 - _cosine(term, z),
    "anchor_euclidean": lambda term, z: (
        (z - term.radius * torch.from_numpy(term.direction.unit(z.shape[-1]))) ** 2
    ).sum(-1),
    "anti_anchor": lambda term, z: _cosine(term, z).clamp_min(0),
    "anti_subspace": lambda term, z: (z[:, list(term.axes)] ** 2).sum(-1),
    "subspace": lambda term, z: _others(term, z).sum(-1),
    "planarity": lambda term, z: _others(term, z).mean(-1),
    "unit_norm": lambda term, z: (z.norm(dim=-1) - 1) ** 2,
    "separate": _separate,
    "repel_euclidean": _repel,
}
"""One value a sample, or for the batch."""


# --- the data --------------------------------------------------------------------------------------------------------


def _batches(training: Training, seed: int, values: dict[str, np.ndarray], behind: int) -> Iterator[Batch]:
    starts = dict(keyframes.phase_starts(training.schedule))
    drawn, name = 0, ""
    for step in range(training.schedule.steps):
        if step in starts:
            drawn, name = 0, starts[step]
        own = training.schedule.phases.get(name)
        part = training.phase_data(name)
        size = (own and own.batch_size) or training.schedule.batch_size
        opened = {opener: values[opener][max(0, step - behind)] for opener in part.opened_by}
        batch = _batch(part, seed, step, size, drawn, opened)
        drawn += len(batch.inputs)
        yield batch


def _batch(part: DataPart, seed: int, step: int, size: int, drawn: int, opened: dict[str, float]) -> Batch:
    task = data.task(part)
    inputs = task.train.inputs
    weights = np.ones(len(inputs))
    for opener, grade in part.opened_by.items():
        weights *= _open(task.grades[grade](inputs), opened[opener])
    width = min(size, part.epoch or size)
    if part.draw == "all":
        index, width = np.arange(len(inputs)), len(inputs)
    else:
        n = min(size, part.epoch - drawn % part.epoch) if part.epoch else size
        index = streams.weighted(_uniforms(seed, "items", step, width)[:n], task.weights * weights)
    labels, counts = {}, {}
    for label, own in part.labels.items():
        grade = inputs[index, 0] * (1 - inputs[index, 1] / 2 - inputs[index, 2] / 2)
        if own.concept == "vibrancy":
            grade = inputs[index].max(-1) - inputs[index].min(-1)
        p = own.rate * grade**own.power
        chance = p * (1 - own.missed) + (1 - p) * own.false
        hit = _uniforms(seed, f"label:{label}", step, width)[: len(index)] < chance
        labels[label] = torch.from_numpy(chance if own.soft else hit.astype(float))
        counts[label] = int((labels[label] > 0).sum())
    heavy = torch.from_numpy(weights[index] / weights[index].sum()) if part.weigh else None
    return Batch(torch.from_numpy(inputs[index]), labels, heavy, counts)


def _open(grade: np.ndarray, fraction: float) -> np.ndarray:
    """Open by a grade: up to a half the lowest grade let in falls from 0.99, from there on the least weight rises."""
    low, least = max(0.0, 0.99 * (1 - 2 * fraction)), max(0.0, 2 * fraction - 1)
    return least + (1 - least) * np.clip((grade - low) / (1 - low), 0, 1)


def _uniforms(seed: int, stream: str, step: int, width: int) -> np.ndarray:
    drawn: np.ndarray = streams.uniform([seed], stream, step // streams.CHUNK, width)
    return drawn[step % streams.CHUNK, 0]
