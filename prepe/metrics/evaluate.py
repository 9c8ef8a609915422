"""A trial's trained members in; a row a member, a row a member and intervention, and the items behind them out.

Everything is computed in float64, whatever the weights' type, on clamped outputs: a deletion brings a small residual
back to unit length, which would also bring back the rounding of float32.
"""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from prepe import data, interventions, models, regularizers, train
from prepe.catalog import EFFECT_METRICS, DataPart, Intervention, ModelPart, Term
from prepe.data.task import Items, Task
from prepe.interventions import Edited
from prepe.metrics import geometry, selectivity
from prepe.regularizers import Context
from prepe.spec import Concept, Trial

_CHUNK = 256
"""Items run at once: a piece of this size stays in the processor's cache."""
_LINE = 8
"""Numbers in a cache line."""
_VALIDATION_BATCH = 64
_SETS = ("reference", "grid", "named", "validation")
Row = dict[str, object]


@dataclass(frozen=True)
class Evaluation:
    """Rows for the tables `members`, `effects` and `items`, without the columns that name trial and block."""

    members: list[Row]
    effects: list[Row]
    items: pa.Table


@dataclass(frozen=True)
class _Response:
    """Clamped outputs and errors by set, `(members, items, ...)`, and latents by site."""

    outputs: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    latents: dict[str, dict[str, np.ndarray]]


def evaluate(
    trial: Trial,
    seeds: list[int],
    params: Tensor,
    broken: np.ndarray,
    twin_mse: np.ndarray | None = None,
    device: str = "cpu",
) -> Evaluation:
    """Measure every intervention of a trial on every member.

    Args:
        trial: what to measure.
        seeds: the members' names.
        params: `(members, parameters)`.
        broken: which members stopped in training; all their metrics are NaN, and their flags are up.
        twin_mse: the twins' reconstruction error, `(members,)`, for `task_cost`.
        device: where to compute.
    """
    task = data.task(trial.training.data)
    model = models.build(trial.training.model, task)
    place = train.choose_device(device)
    plain = Edited(model, model.unpack(params.to(place, torch.float64)))
    with torch.no_grad(), np.errstate(invalid="ignore", over="ignore"):
        before = _respond(plain, task)
        members = _member_rows(trial, task, seeds, before, broken, twin_mse, plain)
        effects: list[Row] = []
        items: list[pa.Table] = []
        for part in trial.interventions:
            concept = trial.concepts[part.concept]
            after = _respond(interventions.apply(part, part.direction or concept.direction, model, plain.params), task)
            rows, details = _effects(part, concept, task, seeds, before, after, broken)
            effects += rows
            items.append(details)
    return Evaluation(members, effects, pa.concat_tables(items) if items else pa.table({}))


def reconstruction(part: DataPart, model_part: ModelPart, params: Tensor, device: str = "cpu") -> np.ndarray:
    """Return the error on the validation items, `(members,)`, from parameters `(members, parameters)`."""
    task = data.task(part)
    model = models.build(model_part, task)
    place = train.choose_device(device)
    with torch.no_grad(), np.errstate(invalid="ignore", over="ignore"):
        edited = Edited(model, model.unpack(params.to(place, torch.float64)))
        outputs, _ = _run(edited, task.validation.inputs, task.output_range)
        return data.error(outputs, task.validation.targets).mean(-1)


def ideal_damage(task: Task, concept: Concept) -> float:
    """Return D*: the error of putting the fallback item where the concept's item should be."""
    item, fallback = (task.named.names.index(name) for name in (concept.item, concept.fallback))
    return float(data.error(task.named.targets[fallback], task.named.targets[item]))


def _run(
    edited: Edited, inputs: np.ndarray, output_range: tuple[float, float]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    example = next(iter(edited.params.values()))
    members, n = example.shape[0], len(inputs)
    # Filled up to whole cache lines: the products of matrices that begin elsewhere may be rounded otherwise, and then a
    # member would not be measured the same alone and among others.
    filled = np.concatenate([inputs, np.repeat(inputs[-1:], -n % _LINE, axis=0)])
    x = torch.as_tensor(filled, dtype=example.dtype, device=example.device)
    passes = [edited(part.expand(members, *part.shape)) for part in x.split(_CHUNK)]
    outputs = torch.cat([each.outputs for each in passes], dim=-2)[..., :n, :].clamp(*output_range)
    sites = {site: torch.cat([each.sites[site] for each in passes], dim=-2)[..., :n, :] for site in passes[0].sites}
    return outputs.cpu().numpy(), {site: values.cpu().numpy() for site, values in sites.items()}


def _respond(edited: Edited, task: Task) -> _Response:
    sets: dict[str, Items] = {name: getattr(task, name) for name in _SETS}
    outputs, sites = _run(edited, np.concatenate([each.inputs for each in sets.values()]), task.output_range)
    edges = np.cumsum([len(each) for each in sets.values()])[:-1]

    def by_set(values: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(sets, np.split(values, edges, axis=-2), strict=True))

    split = by_set(outputs)
    return _Response(
        outputs=split,
        errors={name: data.error(split[name], items.targets) for name, items in sets.items()},
        latents={site: by_set(values) for site, values in sites.items()},
    )


def _similarity(task: Task, concept: Concept, items: Items) -> np.ndarray:
    return task.similarities[concept.similarity](items.inputs, task.item(concept.item))


def _concept_cos(task: Task, concept: Concept, site: str, direction: np.ndarray, response: _Response) -> np.ndarray:
    item = task.named.names.index(concept.item)
    return geometry.alignment(response.latents[site]["named"][..., item, :], direction)


def _purity(task: Task, concept: Concept, site: str, direction: np.ndarray, response: _Response) -> np.ndarray:
    others = selectivity.bystanders(_similarity(task, concept, task.grid))
    return geometry.axis_purity(np.compress(others, response.latents[site]["grid"], axis=-2), direction)


def _member_rows(
    trial: Trial,
    task: Task,
    seeds: list[int],
    response: _Response,
    broken: np.ndarray,
    twin_mse: np.ndarray | None,
    plain: Edited,
) -> list[Row]:
    recon = np.where(broken, np.nan, response.errors["validation"].mean(-1))
    columns: dict[str, np.ndarray | None] = {
        "recon_mse": recon,
        "recon_fail": (~(recon <= geometry.RECON_LIMIT)).astype(float),
        "task_cost": None if twin_mse is None else selectivity.task_cost(recon, twin_mse),
        "twin_mse": twin_mse,
        "broken": broken.astype(float),
        "label_rate": np.full(len(seeds), task.label_rate()),
        "anchor_cos": None,
        "anchor_fail": None,
        "isolation_fail": None,
    }
    cosines, purities = [], []
    for concept in trial.concepts.values():
        direction = concept.direction.unit(trial.training.model.sites()[concept.site])
        cosines.append(_concept_cos(task, concept, concept.site, direction, response))
        if concept.isolated:
            purities.append(_purity(task, concept, concept.site, direction, response))
    if cosines:
        least = np.where(broken, np.nan, np.min(cosines, axis=0))
        columns["anchor_cos"] = least
        columns["anchor_fail"] = (~(1 - least <= geometry.ANCHOR_LIMIT)).astype(float)
    if purities:
        worst = np.where(broken, np.nan, np.max(purities, axis=0))
        columns["isolation_fail"] = (~(np.sqrt(worst) <= geometry.ISOLATION_LIMIT)).astype(float)
    terms = _validation_terms(trial, task, plain, response)
    return [
        {
            "seed": seed,
            **{name: None if values is None else float(values[i]) for name, values in columns.items()},
            "val_terms": {name: float(np.nan if broken[i] else values[i]) for name, values in terms.items()},
        }
        for i, seed in enumerate(seeds)
    ]


def _validation_terms(trial: Trial, task: Task, plain: Edited, response: _Response) -> dict[str, np.ndarray]:
    """Return every term on the validation items, `(members,)`.

    As the reference does: in batches of 64 in a fixed order, averaged by size. A labelled term is a mean over the
    labelled items of a batch, 0 where there are none; so it is diluted by the batches without labels.
    """
    example = next(iter(plain.params.values()))
    members = example.shape[0]

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=example.dtype, device=example.device)

    inputs, targets = tensor(task.validation.inputs), tensor(task.validation.targets)
    outputs = tensor(response.outputs["validation"])
    sites = {site: tensor(values["validation"]) for site, values in response.latents.items()}
    labels = {name: tensor(values) for name, values in task.validation_labels.items()}
    totals = {name: np.zeros(members) for name in trial.training.terms}
    for start in range(0, len(inputs), _VALIDATION_BATCH):
        batch = slice(start, start + _VALIDATION_BATCH)
        n = len(inputs[batch])
        context = Context(
            inputs[batch].expand(members, n, -1),
            targets[batch].expand(members, n, -1),
            outputs[:, batch],
            {site: values[:, batch] for site, values in sites.items()},
            {name: values[batch] for name, values in labels.items()},
            lambda z: plain.model.decode(plain.params, z),
            plain.model.unit_sites,
        )
        for name, term in trial.training.terms.items():
            totals[name] += _term_mean(term, context).cpu().numpy() * n / len(inputs)
    return totals


def _term_mean(term: Term, context: Context) -> Tensor:
    penalty = regularizers.build(term)(context)
    if not term.labels:
        return penalty.mean(-1)
    return (penalty * train.share(term.labels, context.labels)).sum(-1)


def _effects(
    part: Intervention,
    concept: Concept,
    task: Task,
    seeds: list[int],
    before: _Response,
    after: _Response,
    broken: np.ndarray,
) -> tuple[list[Row], pa.Table]:
    direction = part.direction or concept.direction
    vector = direction.unit(before.latents[part.site]["named"].shape[-1])
    d_star = ideal_damage(task, concept)
    reference, grid = (_similarity(task, concept, items) for items in (task.reference, task.grid))
    metrics = selectivity.effects(before.errors["grid"], after.errors["grid"], grid, part.power, d_star)
    metrics["score_r2"] = selectivity.score_r2(reference, after.errors["reference"], part.power)
    metrics["anchor_cos"] = _concept_cos(task, concept, part.site, vector, before)
    metrics["axis_purity"] = _purity(task, concept, part.site, vector, before)
    metrics = {name: np.where(broken, np.nan, metrics[name]) for name in EFFECT_METRICS}
    own = part.model_dump(mode="json", exclude={"label", "operator", "concept", "direction", "site", "power"})
    named = {
        "intervention": part.label,
        "concept": part.concept,
        "direction": str(direction),
        "operator": part.operator,
        "parameters": json.dumps(own, sort_keys=True),
        "site": part.site,
        "power": part.power,
        "similarity": concept.similarity,
        "ideal_damage": d_star,
    }
    rows: list[Row] = [
        {"seed": seed, **named, **{name: float(values[i]) for name, values in metrics.items()}}
        for i, seed in enumerate(seeds)
    ]
    everyone = list(range(len(seeds)))
    tables = [
        _item_rows(part.label, stored, named_set, task, concept, seeds, members, before, after)
        for stored, named_set, members in (
            ("named", "named", everyone),
            ("grid", "reference", _shown(metrics["score_ccc"])),
        )
    ]
    return rows, pa.concat_tables(tables)


def _shown(score: np.ndarray) -> list[int]:
    """Return the best, the median and the worst member by a score; broken members last."""
    order = np.argsort(np.where(np.isnan(score), -np.inf, score))
    return [int(member) for member in dict.fromkeys([order[-1], order[len(order) // 2], order[0]])]


def _item_rows(
    label: str,
    stored: str,
    which: str,
    task: Task,
    concept: Concept,
    seeds: list[int],
    members: list[int],
    before: _Response,
    after: _Response,
) -> pa.Table:
    """Return one row a member and item of the task's set `which`, as rows of the set `stored`."""
    items: Items = getattr(task, which)
    similarity = _similarity(task, concept, items)
    n, rows = len(items), len(members)

    def vectors(values: np.ndarray) -> pa.Array:
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=np.float32)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[-1])

    return pa.table(
        {
            "seed": np.repeat([seeds[m] for m in members], n),
            "intervention": [label] * (rows * n),
            "set": [stored] * (rows * n),
            "item": items.names * rows,
            "x": vectors(np.tile(items.inputs, (rows, 1))),
            "similarity": np.tile(similarity, rows),
            "error_before": before.errors[which][members].ravel(),
            "error_after": after.errors[which][members].ravel(),
            "y_before": vectors(before.outputs[which][members]),
            "y_after": vectors(after.outputs[which][members]),
        }
    )
