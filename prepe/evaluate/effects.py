"""An intervention in; what it did to every member, a row each, and the items behind that, out."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from prepe import attacks, data
from prepe.catalog import EFFECT_METRICS, Deletion, Fitted, Intervention, Leakage, Recovery
from prepe.data.task import Items, Task
from prepe.errors import PrepeError
from prepe.evaluate.aim import Aim, joined
from prepe.evaluate.edit import edited_by
from prepe.evaluate.members import Row, concept_latent, cosine, purity
from prepe.evaluate.respond import Response, respond, run
from prepe.interventions import Edited, Found, Place
from prepe.metrics import geometry, selectivity
from prepe.spec import Trial

_NAMED = ("label", "operator", "concept", "direction", "site", "power", "similarity")


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
    places = aim.found(trial, part, task, seeds, plain)
    edited = edited_by(trial, part, aim, places, task, seeds, plain)
    attack = part.recovery if isinstance(part, Deletion) else None
    attacked = _attacked(attack, aim, task, edited, seeds) if attack else {}
    after = respond(edited, task, items)
    metrics = {**_measured(part, aim, places, task, before, after), **attacked}
    if part.leakage:
        metrics |= _searched(part, part.leakage, aim, places, task, edited, before, after, seeds)
    metrics = {name: np.where(broken, np.nan, metrics[name]) for name in EFFECT_METRICS if name in metrics}
    named = {
        "intervention": part.label,
        "concept": "+".join(part.concept),
        "direction": str(joined(places)),
        "source": "prescribed" if part.direction is None else getattr(part.direction, "fitted", "given"),
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
            "recover_curve": attacked["recover_curve"][i].tolist() if attacked and not broken[i] else None,
            "recover_at": attacked["recover_at"].tolist() if attacked and not broken[i] else None,
        }
        for i, seed in enumerate(seeds)
    ]
    chosen = _ranked(np.array([row["score_r2"] for row in first or rows], dtype=float))[:1]
    by_ccc = _ranked(metrics["score_ccc"])
    shown = list(dict.fromkeys([*chosen, *(by_ccc[i] for i in (0, (len(by_ccc) - 1) // 2, -1) if by_ccc)]))
    stored = {"named": list(range(len(seeds)))} | dict.fromkeys(("reference", *task.views), shown)
    tables = [
        _item_rows(part, name, items[name], aim, seeds, members, before, after)
        for name, members in stored.items()
        if members  # none is shown where all broke
    ]
    return rows, pa.concat_tables(tables)


def check(trial: Trial) -> None:
    """Check that what trains against a deleted model has something to train on and to watch.

    Raises:
        PrepeError: naming the healing, the recovery or the search for leaks that has not.
    """
    for i, part in enumerate(trial.interventions):
        deletion = isinstance(part, Deletion) and (part.heal or part.recovery)
        if not deletion and not part.leakage:
            continue
        task = data.task(trial.training.data)
        aim = Aim(trial, part, task)
        trained, grid = aim.grade(task.train.inputs), aim.grade(task.grid.inputs)
        with _naming(f"interventions[{i}]"):
            if part.leakage:
                attacks.halves(grid)
        if not isinstance(part, Deletion):
            continue
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


def _attacked(part: Recovery, aim: Aim, task: Task, edited: Edited, seeds: list[int]) -> dict[str, np.ndarray]:
    grades = aim.grade(task.train.inputs), aim.grade(task.grid.inputs)
    return attacks.recover(part, edited.model, edited.params, task, *grades, aim.d_star, seeds)


def _searched(
    part: Intervention,
    leakage: Leakage,
    aim: Aim,
    places: list[Place],
    task: Task,
    edited: Edited,
    before: Response,
    after: Response,
    seeds: list[int],
) -> dict[str, np.ndarray]:
    trained = run(edited, task.train.inputs, task.output_range)[1][part.site]
    was, left = (each.latents[part.site]["grid"] for each in (before, after))
    basis = joined(places).basis(was.shape[-1])
    grades = aim.grade(task.grid.inputs)
    return attacks.leakage(leakage, edited.model, trained, was, left, basis, task, grades, aim.d_star, seeds)


def _measured(
    part: Intervention,
    aim: Aim,
    places: list[Place],
    task: Task,
    before: Response,
    after: Response,
) -> dict[str, np.ndarray]:
    grid = aim.grade(task.grid.inputs)
    errors = before.errors["grid"], after.errors["grid"]
    metrics = selectivity.effects(*errors, grid, part.power, aim.d_star)
    other = aim.d_star * aim.other(task.grid.inputs) ** part.power
    metrics["score_ccc_other"] = selectivity.concordance(errors[1] - errors[0], other)
    reference = aim.grade(task.reference.inputs)
    metrics["score_r2"] = selectivity.score_r2(reference, after.errors["reference"], part.power)
    width = before.latents[part.site]["named"].shape[-1]
    given = None if isinstance(part.direction, Fitted) else part.direction
    own = [given or concept.direction for concept in aim.concepts]
    metrics["anchor_cos"] = np.min(
        [
            cosine(concept_latent(task, concept, part.site, before), place)
            for concept, place in zip(aim.concepts, own, strict=True)
        ],
        axis=0,
    )
    basis = joined(places).basis(width)
    metrics["axis_purity"] = purity(selectivity.bystanders(grid), basis, part.site, before)
    predicted = aim.d_star * np.maximum(geometry.alignment(before.latents[part.site]["grid"], basis), 0) ** 2
    metrics |= selectivity.bound(errors[1] - errors[0], predicted)
    if isinstance(places[0], Found) and len(aim.concepts) == 1:
        prescribed = own[0].basis(width)
        metrics["dir_cos"] = np.abs(geometry.alignment(places[0].vectors[:, None], prescribed)[:, 0])
        metrics["dir_skill"] = geometry.beyond_chance(metrics["dir_cos"], width)
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
