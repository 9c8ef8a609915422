"""An intervention in; what it did to every member, a row each, and the items behind that, out."""

import json
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import torch

from prepe import attacks, data, interventions
from prepe.catalog import EFFECT_METRICS, Deletion, Intervention, Recovery, together
from prepe.data.task import Items, Task
from prepe.evaluate.members import Row, concept_latent, cosine, purity, similarity
from prepe.evaluate.respond import Response, respond
from prepe.interventions import Edited
from prepe.metrics import selectivity
from prepe.spec import Concept, Trial

_NAMED = ("label", "operator", "concept", "direction", "site", "power", "similarity")
Grade = Callable[[np.ndarray], np.ndarray]


class _Aim:
    """What an intervention should damage: its concepts taken together.

    Attributes:
        concepts: of the intervention.
        places: where it acts.
        grade, other: similarity of inputs `(n, inputs)` to the nearest of its concepts, by its own way and by another.
        d_star: D*, the mean over its concepts.
    """

    def __init__(self, trial: Trial, part: Intervention, task: Task) -> None:
        self.concepts: list[Concept] = [trial.concepts[name] for name in part.concept]
        self.places = trial.places(part)
        self.grade = _nearest(task, self.concepts, part.similarity)
        self.way = part.similarity or self.concepts[0].similarity
        self.other_way = next((name for name in trial.training.data.similarities() if name != self.way), self.way)
        self.other = _nearest(task, self.concepts, self.other_way)
        self.d_star = float(np.mean([ideal_damage(task, concept) for concept in self.concepts]))


def _nearest(task: Task, concepts: list[Concept], way: str | None) -> Grade:
    return lambda inputs: np.max([similarity(task, concept, inputs, way) for concept in concepts], axis=0)


def ideal_damage(task: Task, concept: Concept) -> float:
    """Return D*: the error of putting the fallback item where the concept's item should be."""
    item, fallback = (task.named.names.index(name) for name in (concept.item, concept.fallback))
    return float(data.error(task.named.targets[fallback], task.named.targets[item]))


def effects(
    trial: Trial,
    part: Intervention,
    task: Task,
    seeds: list[int],
    plain: Edited,
    before: Response,
    items: dict[str, Items],
    broken: np.ndarray,
    first: Sequence[Row] = (),
) -> tuple[list[Row], pa.Table]:
    """Intervene, and measure the damage.

    Args:
        trial: what is measured.
        part: the intervention.
        task: its task.
        seeds: the members' names.
        plain: the models as they were trained.
        before: what they made of the items.
        items: by set.
        broken: which members stopped in training, `(members,)`; all their metrics are NaN.
        first: the rows of the trial's first intervention, whose best member is shown under every other too.

    Returns:
        A row a member; and one a member and item: of every member for the named items, of the best, the median and the
        worst for the reference grid and the task's views.
    """
    aim = _Aim(trial, part, task)
    edited = _edited(part, aim, task, seeds, plain)
    optional = (
        _attacked(part.recovery, aim, task, edited, seeds) if isinstance(part, Deletion) and part.recovery else {}
    )
    after = respond(edited, task, items)
    metrics = {**_measured(part, aim, task, before, after), **optional}
    metrics = {name: np.where(broken, np.nan, metrics[name]) for name in EFFECT_METRICS if name in metrics}
    named = {
        "intervention": part.label,
        "concept": "+".join(part.concept),
        "direction": str(together(aim.places)),
        "operator": part.operator,
        "parameters": json.dumps(part.model_dump(mode="json", exclude=set(_NAMED)), sort_keys=True),
        "site": part.site,
        "power": part.power,
        "similarity": aim.way,
        "other_similarity": aim.other_way,
        "ideal_damage": aim.d_star,
    }
    rows: list[Row] = [
        {
            "seed": seed,
            **named,
            **{name: float(metrics[name][i]) if name in metrics else None for name in EFFECT_METRICS},
        }
        for i, seed in enumerate(seeds)
    ]
    shown = _shown(metrics["score_ccc"])
    if first:
        shown = list(dict.fromkeys([*shown, _shown(np.array([row["score_ccc"] for row in first], dtype=float))[0]]))
    stored = [("named", "named", list(range(len(seeds)))), ("grid", "reference", shown)]
    stored += [(name, name, shown) for name in task.views]
    tables = [
        _item_rows(part, name, items[which], which, aim, seeds, members, before, after)
        for name, which, members in stored
    ]
    return rows, pa.concat_tables(tables)


def edit(trial: Trial, part: Intervention, task: Task, seeds: list[int], plain: Edited) -> Edited:
    """Return what an intervention leaves of the models: edited and, after a deletion, healed if that is asked for.

    Args:
        trial: whose intervention it is.
        part: the intervention.
        task: of the trial.
        seeds: the members' names, which key what healing draws.
        plain: the models as they were trained.
    """
    return _edited(part, _Aim(trial, part, task), task, seeds, plain)


def _edited(part: Intervention, aim: _Aim, task: Task, seeds: list[int], plain: Edited) -> Edited:
    left = interventions.apply(part, aim.places, plain.model, plain.params)
    if not isinstance(part, Deletion) or not part.heal:
        return left
    trained = aim.grade(task.train.inputs)
    fallback = task.named.targets[task.named.names.index(aim.concepts[0].fallback)]
    healed = attacks.heal(part.heal, left.model, left.params, task, trained, fallback, part.power, seeds)
    return Edited(left.model, {name: each.to(torch.float64) for name, each in healed.items()})


def _attacked(part: Recovery, aim: _Aim, task: Task, edited: Edited, seeds: list[int]) -> dict[str, np.ndarray]:
    grades = aim.grade(task.train.inputs), aim.grade(task.grid.inputs)
    return attacks.recover(part, edited.model, edited.params, task, *grades, aim.d_star, seeds)


def _measured(part: Intervention, aim: _Aim, task: Task, before: Response, after: Response) -> dict[str, np.ndarray]:
    grid = aim.grade(task.grid.inputs)
    errors = before.errors["grid"], after.errors["grid"]
    metrics = selectivity.effects(*errors, grid, part.power, aim.d_star)
    other = aim.d_star * aim.other(task.grid.inputs) ** part.power
    metrics["score_ccc_other"] = selectivity.concordance(errors[1] - errors[0], other)
    reference = aim.grade(task.reference.inputs)
    metrics["score_r2"] = selectivity.score_r2(reference, after.errors["reference"], part.power)
    width = before.latents[part.site]["named"].shape[-1]
    own = [part.direction or concept.direction for concept in aim.concepts]
    metrics["anchor_cos"] = np.min(
        [
            cosine(concept_latent(task, concept, part.site, before), place)
            for concept, place in zip(aim.concepts, own, strict=True)
        ],
        axis=0,
    )
    basis = together(aim.places).basis(width)
    metrics["axis_purity"] = purity(selectivity.bystanders(grid), basis, part.site, before)
    return metrics


def _shown(score: np.ndarray) -> list[int]:
    """Return the best, the median and the worst member by a score; broken members last."""
    order = np.argsort(np.where(np.isnan(score), -np.inf, score))
    return [int(member) for member in dict.fromkeys([order[-1], order[len(order) // 2], order[0]])]


def _item_rows(
    part: Intervention,
    stored: str,
    items: Items,
    which: str,
    aim: _Aim,
    seeds: list[int],
    members: list[int],
    before: Response,
    after: Response,
) -> pa.Table:
    """Return one row a member and item of the set `which`, as rows of the set `stored`."""
    n, rows = len(items), len(members)
    latents = after.latents[part.site][which]

    def vectors(values: np.ndarray) -> pa.Array:
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=np.float32)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[-1]).cast(pa.list_(pa.float32()))

    return pa.table(
        {
            "seed": np.repeat([seeds[m] for m in members], n),
            "intervention": [part.label] * (rows * n),
            "set": [stored] * (rows * n),
            "item": items.names * rows,
            "x": vectors(np.tile(items.inputs, (rows, 1))),
            "similarity": np.tile(aim.grade(items.inputs), rows),
            "other_similarity": np.tile(aim.other(items.inputs), rows),
            "error_before": before.errors[which][members].ravel(),
            "error_after": after.errors[which][members].ravel(),
            "y_before": vectors(before.outputs[which][members]),
            "y_after": vectors(after.outputs[which][members]),
            "latent_before": vectors(before.latents[part.site][which][members]),
            "latent_after": vectors(latents[members]),
        }
    )
