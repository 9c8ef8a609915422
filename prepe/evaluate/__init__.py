"""A trial's trained members in; rows of members, at the end and at checkpoints, of effects, and of items out."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from prepe import data, models, train
from prepe.catalog import STAGE_METRICS, DataPart, ModelPart
from prepe.evaluate.aim import ideal_damage
from prepe.evaluate.dense import Measured, Response, dense
from prepe.evaluate.edit import edit, pinned
from prepe.evaluate.effects import check, effects
from prepe.evaluate.members import Row, member_rows, of_weights
from prepe.evaluate.respond import respond, run, sets
from prepe.interventions import Edited
from prepe.spec import Trial
from prepe.train import Checkpoint

_OF_WEIGHTS = ("named", "validation", "cycle")
"""The sets that what weights alone decide is read from."""


@dataclass(frozen=True)
class Evaluation:
    """Rows for the tables `members`, `effects` and `items`, without the columns that name trial and block."""

    members: list[Row]
    effects: list[Row]
    items: pa.Table


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
    plain = Edited(model, model.unpack(params.to(train.choose_device(device), torch.float64)))
    items = sets(trial, task)
    with np.errstate(invalid="ignore", over="ignore"):
        before = respond(plain, task, items)
        members = member_rows(trial, task, seeds, before, broken, twin_mse, plain)
        measured: list[tuple[list[Row], pa.Table]] = []
        for part in trial.interventions:
            best = measured[0][0] if measured else []
            measured.append(effects(trial, part, task, seeds, plain, before, items, broken, best))
    rows = [row for each, _ in measured for row in each]
    return Evaluation(members, rows, pa.concat_tables([table for _, table in measured]) if measured else pa.table({}))


def stages(
    trial: Trial,
    seeds: list[int],
    checkpoints: list[Checkpoint],
    params: Tensor,
    broken: np.ndarray,
    device: str = "cpu",
) -> list[Row]:
    """Measure what members' weights were worth at checkpoints: a row a member that had got there, of `STAGE_METRICS`.

    Args:
        trial: what to measure.
        seeds: the members' names.
        checkpoints: their weights on the way.
        params: their weights in the end, `(members, parameters)`.
        broken: which members stopped in training. From then on their weights stand still; so where they are already
            what they are in the end, all metrics are NaN.
        device: where to compute.
    """
    if not checkpoints:
        return []
    task = data.task(trial.training.data)
    model = models.build(trial.training.model, task)
    place = train.choose_device(device)
    items = {name: each for name, each in sets(trial, task).items() if name in _OF_WEIGHTS}
    rows: list[Row] = []
    for checkpoint in checkpoints:
        with np.errstate(invalid="ignore", over="ignore"):
            plain = Edited(model, model.unpack(checkpoint.params.to(place, torch.float64)))
            columns = of_weights(trial, task, respond(plain, task, items))
        stopped = broken & (checkpoint.params == params).all(-1).numpy()
        columns = {name: np.where(stopped, np.nan, each) for name, each in columns.items()}
        rows += [
            {
                "seed": seed,
                "step": checkpoint.step,
                "phase": checkpoint.phase,
                **{name: float(columns[name][i]) if name in columns else None for name in STAGE_METRICS},
            }
            for i, seed in enumerate(seeds)
            if checkpoint.reached[i]
        ]
    return rows


def reconstruction(part: DataPart, model_part: ModelPart, params: Tensor, device: str = "cpu") -> np.ndarray:
    """Return the error on the validation items, `(members,)`, from parameters `(members, parameters)`."""
    task = data.task(part)
    model = models.build(model_part, task)
    with np.errstate(invalid="ignore", over="ignore"):
        edited = Edited(model, model.unpack(params.to(train.choose_device(device), torch.float64)))
        outputs, _ = run(edited, task.validation.inputs, task.output_range)
        return data.error(outputs, task.validation.targets).mean(-1)


__all__ = [
    "Evaluation",
    "Measured",
    "Response",
    "check",
    "dense",
    "edit",
    "evaluate",
    "ideal_damage",
    "pinned",
    "reconstruction",
    "stages",
]
