"""What members made of the items in; a row a member out: reconstruction, places of concepts, cycles, flags, terms."""

import numpy as np
import torch
from torch import Tensor

from prepe import regularizers, train
from prepe.catalog import STAGE_METRICS, AnchorCapturedTerm, Axis, Subspace, Term, Vector
from prepe.data.task import Task
from prepe.evaluate.respond import Response
from prepe.interventions import Edited
from prepe.metrics import cycle, geometry, selectivity
from prepe.regularizers import Context
from prepe.spec import Concept, Trial

_VALIDATION_BATCH = 64
_MEASURED = (
    *STAGE_METRICS,
    "recon_fail",
    "anchor_fail",
    "isolation_fail",
    "broken",
    "label_rate",
    "task_cost",
    "twin_mse",
)
"""What a member's row has, None where it was not asked for; what training counted comes from there."""
Row = dict[str, object]


def member_rows(
    trial: Trial,
    task: Task,
    seeds: list[int],
    response: Response,
    broken: np.ndarray,
    twin_mse: np.ndarray | None,
    plain: Edited,
) -> list[Row]:
    """Return a row a member, of all metrics that are not an intervention's, and of every term on the validation items.

    Args:
        trial: what to measure.
        task: its task.
        seeds: the members' names.
        response: what the models made of all sets.
        broken: which members stopped in training, `(members,)`.
        twin_mse: the twins' reconstruction error, `(members,)`, or None.
        plain: the models.
    """
    found = {name: np.where(broken, np.nan, each) for name, each in of_weights(trial, task, response).items()}
    columns: dict[str, np.ndarray] = {
        **found,
        "recon_fail": (~(found["recon_mse"] <= geometry.RECON_LIMIT)).astype(float),
        "broken": broken.astype(float),
        "label_rate": np.full(len(seeds), task.label_rate()),
    }
    if twin_mse is not None:
        columns |= {"twin_mse": twin_mse, "task_cost": selectivity.task_cost(found["recon_mse"], twin_mse)}
    if trial.concepts:
        columns["anchor_fail"] = (~(1 - found["anchor_cos"] <= geometry.ANCHOR_LIMIT)).astype(float)
    purities = [
        purity(
            selectivity.bystanders(similarity(task, concept, task.grid.inputs)),
            _basis(trial, concept),
            concept.site,
            response,
        )
        for concept in trial.concepts.values()
        if concept.isolated
    ]
    if purities:
        worst = np.where(broken, np.nan, np.max(purities, axis=0))
        columns["isolation_fail"] = (~(np.sqrt(worst) <= geometry.ISOLATION_LIMIT)).astype(float)
    terms = _validation_terms(trial, task, plain, response)
    return [
        {
            "seed": seed,
            **dict.fromkeys(_MEASURED),
            **{name: float(values[i]) for name, values in columns.items()},
            "val_terms": {name: float(np.nan if broken[i] else values[i]) for name, values in terms.items()},
        }
        for i, seed in enumerate(seeds)
    ]


def of_weights(trial: Trial, task: Task, response: Response) -> dict[str, np.ndarray]:
    """Return the metrics of a member that its weights alone decide, `(members,)` each."""
    columns = {"recon_mse": response.errors["validation"].mean(-1)}
    site = trial.cycle.site if trial.cycle else next(iter(trial.training.model.edit_sites()))
    latents = response.latents[site]["validation"]
    columns["norm_deviation"] = geometry.norm_deviation(latents)
    columns["norm_mean"] = geometry.norm_mean(latents)
    columns["bunching"] = geometry.bunching(latents)
    if trial.concepts:
        pinned = [
            (concept_latent(task, concept, concept.site, response), concept) for concept in trial.concepts.values()
        ]
        columns["anchor_cos"] = np.min([cosine(each, concept.direction) for each, concept in pinned], axis=0)
        columns["anchor_distance"] = np.max(
            [geometry.anchor_distance(each, _basis(trial, concept)) for each, concept in pinned], axis=0
        )
    if trial.cycle:
        axes, ring = trial.cycle.axes, task.cycles[trial.cycle.items]
        columns |= cycle.ring(response.latents[site]["cycle"], axes, ring.turns, ring.closed)
        columns["off_plane_all"] = geometry.off_plane(latents, axes)
        if trial.cycle.grade:
            columns |= cycle.graded(latents, axes, task.grades[trial.cycle.grade](task.validation.inputs))
    return columns


def _basis(trial: Trial, concept: Concept) -> np.ndarray:
    return concept.direction.basis(trial.training.model.sites()[concept.site])


def _validation_terms(trial: Trial, task: Task, plain: Edited, response: Response) -> dict[str, np.ndarray]:
    """Return every term on the validation items, `(members,)`.

    As the reference does: in batches of 64 in a fixed order, averaged by size. A labelled term is a mean over the
    labelled items of a batch, 0 where there are none; so it is diluted by the batches without labels. A term that
    captures is left out: what it captured went with the training.
    """
    example = next(iter(plain.params.values()))
    members = example.shape[0]

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=example.dtype, device=example.device)

    inputs, targets = tensor(task.validation.inputs), tensor(task.validation.targets)
    outputs = tensor(response.outputs["validation"])
    sites = {site: tensor(values["validation"]) for site, values in response.latents.items()}
    labels = {name: tensor(values) for name, values in task.validation_labels.items()}
    terms = {name: term for name, term in trial.training.terms.items() if not isinstance(term, AnchorCapturedTerm)}
    totals = {name: np.zeros(members) for name in terms}
    for start in range(0, len(inputs), _VALIDATION_BATCH):
        batch = slice(start, start + _VALIDATION_BATCH)
        n = len(inputs[batch])
        context = Context(
            inputs[batch].expand(members, n, -1),
            targets[batch].expand(members, n, -1),
            outputs[:, batch],
            {site: values[:, batch] for site, values in sites.items()},
            {name: values[batch].expand(members, n) for name, values in labels.items()},
            lambda z: plain.model.decode(plain.params, z),
            plain.model.unit_sites,
        )
        for name, term in terms.items():
            totals[name] += _term_mean(term, context).cpu().numpy() * n / len(inputs)
    return totals


def _term_mean(term: Term, context: Context) -> Tensor:
    penalty = regularizers.build(term)(context)
    if not term.labels:
        return penalty.mean(-1)
    return (penalty * train.share(term.labels, context.labels)).sum(-1)


def concept_latent(task: Task, concept: Concept, site: str, response: Response) -> np.ndarray:
    """Return where the concept's item lies at a site, `(members, latent)`."""
    return response.latents[site]["named"][..., task.named.names.index(concept.item), :]


def cosine(latents: np.ndarray, place: Axis | Vector | Subspace) -> np.ndarray:
    """Return the cosine of latents `(members, latent)` with a place; a subspace has no sides, and none below 0."""
    cos = geometry.alignment(latents, place.basis(latents.shape[-1]))
    return np.abs(cos) if isinstance(place, Subspace) else cos


def similarity(task: Task, concept: Concept, inputs: np.ndarray, name: str | None = None) -> np.ndarray:
    """Grade inputs against a concept, by its own similarity or the one of this name, `(n,)`."""
    return task.similarities[name or concept.similarity](inputs, task.item(concept.item))


def purity(others: np.ndarray, basis: np.ndarray, site: str, response: Response) -> np.ndarray:
    """Return the mean squared alignment of some grid items, given as a mask, with a place, `(members,)`."""
    return geometry.axis_purity(np.compress(others, response.latents[site]["grid"], axis=-2), basis)
