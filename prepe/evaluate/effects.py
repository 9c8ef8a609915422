"""An intervention in; what it did to every member, a row each, and the items behind that, out."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import torch

from prepe import attacks, data, interventions
from prepe.catalog import EFFECT_METRICS, Deletion, Intervention, Recovery, together
from prepe.data.task import Items, Task
from prepe.errors import PrepeError
from prepe.evaluate.members import Row, concept_latent, cosine, purity, similarity
from prepe.evaluate.respond import Response, respond
from prepe.interventions import Edited
from prepe.metrics import selectivity
from prepe.spec import Concept, Trial

_NAMED = ("label", "operator", "concept", "direction", "site", "power", "similarity")
Grade = Callable[[np.ndarray], np.ndarray]


class Aim:
    """What an intervention should damage: its concepts taken together.

    Attributes:
        concepts: of the intervention.
        places: where it acts.
        grade, other: similarity of inputs `(n, inputs)` to the nearest of its concepts, by its own way and by another.
        fallback: the target that an ideal deletion puts in the place of each of some inputs, `(n, outputs)`: that of
            the nearest of its concepts, and of equally near ones the first.
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
        self._task = task

    def fallback(self, inputs: np.ndarray) -> np.ndarray:
        near = np.argmax([similarity(self._task, each, inputs, self.way) for each in self.concepts], axis=0)
        rows = [self._task.named.names.index(each.fallback) for each in self.concepts]
        return np.asarray(self._task.named.targets[rows][near])


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
        first: the rows of the trial's first intervention, whose best member by `score_r2` is shown under every one.

    Returns:
        A row a member; and one a member and item: of every member for the named items; for the reference grid and the
        task's views of the trial's shown member, and of the best, the median and the worst by `score_ccc`.
    """
    aim = Aim(trial, part, task)
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
    chosen = _ranked(np.array([row["score_r2"] for row in first or rows], dtype=float))[:1]
    by_ccc = _ranked(metrics["score_ccc"])
    shown = list(dict.fromkeys([*chosen, *(by_ccc[i] for i in (0, (len(by_ccc) - 1) // 2, -1) if by_ccc)]))
    stored = {"named": list(range(len(seeds)))} | dict.fromkeys(("reference", *task.views), shown)
    tables = [
        _item_rows(part, name, items[name], aim, seeds, members, before, after) for name, members in stored.items()
    ]
    return rows, pa.concat_tables(tables)


def check(trial: Trial) -> None:
    """Check that what trains against a deleted model has something to train on and to watch.

    Raises:
        PrepeError: naming the healing or the recovery that has not.
    """
    for i, part in enumerate(trial.interventions):
        if not isinstance(part, Deletion) or not (part.heal or part.recovery):
            continue
        task = data.task(trial.training.data)
        aim = Aim(trial, part, task)
        trained, grid = aim.grade(task.train.inputs), aim.grade(task.grid.inputs)
        with _naming(f"interventions[{i}].heal"):
            if part.heal:
                attacks.healing_weights(part.heal, task, trained)
        with _naming(f"interventions[{i}].recovery"):
            if part.recovery:
                attacks.split(part.recovery, task, trained, grid)


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except PrepeError as error:
        raise PrepeError(f"{path}: {error}") from error


def edit(trial: Trial, part: Intervention, task: Task, seeds: list[int], plain: Edited) -> Edited:
    """Return what an intervention leaves of the models: edited and, after a deletion, healed if that is asked for.

    Args:
        trial: whose intervention it is.
        part: the intervention.
        task: of the trial.
        seeds: the members' names, which key what healing draws.
        plain: the models as they were trained.
    """
    return _edited(part, Aim(trial, part, task), task, seeds, plain)


def _edited(part: Intervention, aim: Aim, task: Task, seeds: list[int], plain: Edited) -> Edited:
    left = interventions.apply(part, aim.places, plain.model, plain.params)
    if not isinstance(part, Deletion) or not part.heal:
        return left
    inputs = task.train.inputs
    trained, fallback = aim.grade(inputs), aim.fallback(inputs)
    healed = attacks.heal(part.heal, left.model, left.params, task, trained, fallback, part.power, seeds)
    return Edited(left.model, {name: each.to(torch.float64) for name, each in healed.items()})


def _attacked(part: Recovery, aim: Aim, task: Task, edited: Edited, seeds: list[int]) -> dict[str, np.ndarray]:
    grades = aim.grade(task.train.inputs), aim.grade(task.grid.inputs)
    return attacks.recover(part, edited.model, edited.params, task, *grades, aim.d_star, seeds)


def _measured(part: Intervention, aim: Aim, task: Task, before: Response, after: Response) -> dict[str, np.ndarray]:
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


def _ranked(score: np.ndarray) -> list[int]:
    """Return the members that have a score, the best first; of equal ones, the first member comes first."""
    return [int(member) for member in np.argsort(-score, kind="stable") if not np.isnan(score[member])]


def _item_rows(
    part: Intervention,
    name: str,
    items: Items,
    aim: Aim,
    seeds: list[int],
    members: list[int],
    before: Response,
    after: Response,
) -> pa.Table:
    """Return one row a member and item of a set."""
    n, rows = len(items), len(members)
    latents = after.latents[part.site][name]

    def vectors(values: np.ndarray) -> pa.Array:
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=np.float32)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[-1]).cast(pa.list_(pa.float32()))

    return pa.table(
        {
            "seed": np.repeat([seeds[m] for m in members], n),
            "intervention": [part.label] * (rows * n),
            "set": [name] * (rows * n),
            "item": items.names * rows,
            "x": vectors(np.tile(items.inputs, (rows, 1))),
            "similarity": np.tile(aim.grade(items.inputs), rows),
            "other_similarity": np.tile(aim.other(items.inputs), rows),
            "error_before": before.errors[name][members].ravel(),
            "error_after": after.errors[name][members].ravel(),
            "y_before": vectors(before.outputs[name][members]),
            "y_after": vectors(after.outputs[name][members]),
            "latent_before": vectors(before.latents[part.site][name][members]),
            "latent_after": vectors(latents[members]),
        }
    )
