"""One trained member in; its errors over very many items, and how they follow similarity, out.

Correlations are of s^p with the error, s the similarity to an intervention's concepts and p its power.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import pearsonr

from prepe import data, models
from prepe.data.task import Pairs, Task
from prepe.evaluate.aim import Aim
from prepe.evaluate.edit import edit
from prepe.evaluate.members import Row
from prepe.evaluate.respond import run
from prepe.interventions import Edited
from prepe.spec import Trial

_CHUNK = 16_384
"""Items whose latents are in memory at once."""


@dataclass(frozen=True)
class Response:
    """What an intervention did to many items.

    Attributes:
        label: of the intervention.
        power: p.
        similarity: name of the measure.
        x: s^p of each item, `(n,)`.
        error: of each item after the intervention, `(n,)`.
        inputs: the items, `(n, inputs)`.
    """

    label: str
    power: float
    similarity: str
    x: np.ndarray
    error: np.ndarray
    inputs: np.ndarray


@dataclass(frozen=True)
class Measured:
    """One stored member, looked at closely.

    Attributes:
        trial: its name.
        member: the seed.
        rows: see `dense`.
        responses: what every intervention did to many items.
        figure: path of the picture, or None where there is no intervention.
    """

    trial: str
    member: int
    rows: list[Row]
    responses: list[Response]
    figure: Path | None


def dense(trial: Trial, seed: int, params: torch.Tensor) -> tuple[list[Row], list[Response]]:
    """Measure one member, as it was trained and under every intervention, on the dense items of its task.

    Args:
        trial: what is measured.
        seed: the member's name, which keys what healing draws.
        params: its weights, `(parameters,)`.

    Returns:
        Rows, the first one of the member as it was trained, whose `intervention` is None and whose correlations are
        with s^p of the first intervention: `error_max` and `error_median`; `r`, `r2` and `p`, the correlation with s^p
        and the chance of one as strong where there is none; `other_r`, `other_r2` and `other_p`, by another similarity.
        And what every intervention did, in order.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more of them would wait for each other on pieces as small as these
    try:
        return _dense(trial, seed, params)
    finally:
        torch.set_num_threads(threads)


def _dense(trial: Trial, seed: int, params: torch.Tensor) -> tuple[list[Row], list[Response]]:
    task = data.task(trial.training.data)
    model = models.build(trial.training.model, task)
    plain = Edited(model, model.unpack(params[None].double()))
    pairs = task.dense_errors(), task.dense_response()
    rows, responses = [], []
    first = trial.interventions[0] if trial.interventions else None
    for part in (None, *trial.interventions):
        edited = edit(trial, part, task, [seed], plain) if part else plain
        spread, error = (_errors(edited, task, each) for each in pairs)
        row: Row = {"intervention": part and part.label, "error_max": spread.max(), "error_median": np.median(spread)}
        graded = part or first
        if graded:
            aim = Aim(trial, graded, task)
            x, other = (grade(pairs[1][0]) ** graded.power for grade in (aim.grade, aim.other))
            row |= {"similarity": aim.way, "power": graded.power, **correlation(x, error)}
            row |= {"other_similarity": aim.other_way}
            row |= {f"other_{name}": value for name, value in correlation(other, error).items()}
        if part:
            responses.append(Response(part.label, part.power, aim.way, x, error, pairs[1][0]))
        rows.append({name: float(value) if isinstance(value, np.floating) else value for name, value in row.items()})
    return rows, responses


def _errors(edited: Edited, task: Task, pairs: Pairs) -> np.ndarray:
    """Return the error of each pair, `(n,)`, of a model with one member."""
    found = []
    for start in range(0, len(pairs[0]), _CHUNK):
        inputs, targets = (each[start : start + _CHUNK] for each in pairs)
        outputs, _ = run(edited, inputs, task.output_range)
        found.append(data.error(outputs[0], targets))
    return np.concatenate(found)


def correlation(x: np.ndarray, y: np.ndarray) -> Row:
    """Return Pearson's r, its square, and its p value; NaN where nothing varies."""
    if np.ptp(x) == 0 or np.ptp(y) == 0 or not np.isfinite(y).all():
        return {"r": np.nan, "r2": np.nan, "p": np.nan}
    found = pearsonr(x, y)
    return {"r": found.statistic, "r2": found.statistic**2, "p": found.pvalue}
