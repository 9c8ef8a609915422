"""A direction that is to be found in members, and the trained members, in; each member's own out.

Found from the training items' latents and the labels that members drew while they were trained, or exact ones. Nothing
here looks at the items that effects are measured on.
"""

import numpy as np
import torch

from prepe import data, train
from prepe.catalog import Fitted, Gate
from prepe.data import streams
from prepe.data.task import Task
from prepe.evaluate.respond import run
from prepe.interventions import FITS, Edited, Eraser, Found, Labelled, leace, suppress
from prepe.metrics import selectivity
from prepe.spec import Training

_STREAM = "direction:random"


def find(
    part: Fitted,
    training: Training,
    task: Task,
    site: str,
    grades: np.ndarray,
    ideal: np.ndarray,
    seeds: list[int],
    plain: Edited,
) -> Found:
    """Find a direction in every member; see `catalog.Fitted`.

    Args:
        part: how.
        training: of the members, for what they drew.
        task: whose training items are looked at.
        site: where.
        grades: similarity of the training items to the concept, `(items,)`.
        ideal: what ideal deletion does to their errors, D* s^p, by which random directions are judged, `(items,)`.
        seeds: the members'.
        plain: the models as they were trained.

    Raises:
        ValueError: an eraser would erase nothing.
    """
    if part.fitted == "best_random":
        return Found(str(part), _best_random(part.candidates, task, site, ideal, seeds, plain))
    if part.label is None:
        exact = selectivity.targets(grades).astype(float)
        positive, negative = (np.tile(each, (len(seeds), 1)) for each in (exact, 1 - exact))
    else:
        positive, negative = train.label_counts(training, seeds, part.label)
    latents = run(plain, task.train.inputs, task.output_range)[1][site]
    # One by one: products of matrices and solvers may round a member otherwise among others than alone.
    each = [
        Labelled(*(torch.from_numpy(rows[i : i + 1]) for rows in (latents, positive, negative)))
        for i in range(len(seeds))
    ]
    # What an eraser takes away lies along the covariance of latents and label, so along the difference of the means.
    fit = FITS["mean_difference" if part.fitted == "leace" else part.fitted]
    vectors = torch.cat([fit(labelled) for labelled in each]).numpy()
    if part.fitted != "leace":
        return Found(str(part), vectors)
    erasers = [leace(labelled) for labelled in each]
    whole = Eraser(torch.cat([each.projection for each in erasers]), torch.cat([each.centre for each in erasers]))
    return Found(str(part), vectors, whole)


def _best_random(
    candidates: int, task: Task, site: str, ideal: np.ndarray, seeds: list[int], plain: Edited
) -> np.ndarray:
    """Return the direction whose suppression has the best `score_ccc` on the training items, `(members, latent)`."""
    inputs, targets = task.train.inputs, task.train.targets
    outputs, sites = run(plain, inputs, task.output_range)
    before, width = data.error(outputs, targets), sites[site].shape[-1]
    drawn = np.stack([streams.generator(seed, _STREAM).standard_normal((candidates, width)) for seed in seeds], axis=1)
    drawn /= np.linalg.norm(drawn, axis=-1, keepdims=True)
    example = next(iter(plain.params.values()))
    best, score = drawn[0], np.full(len(seeds), -np.inf)
    for candidate in drawn:
        direction = torch.as_tensor(candidate, dtype=example.dtype, device=example.device)
        edited = Edited(plain.model, plain.params, {site: suppress(Gate(), direction)})
        after = data.error(run(edited, inputs, task.output_range)[0], targets)
        found = selectivity.concordance(after - before, ideal)
        better = found > score
        best, score = np.where(better[:, None], candidate, best), np.where(better, found, score)
    return best
