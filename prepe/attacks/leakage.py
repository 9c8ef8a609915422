"""Latents before and after an edit in; what can still be read of the concept from those after it out.

The grid's items are parted into halves, the same for every member, for probes to learn from and to be tested on.
"""

import numpy as np

from prepe.attacks import probes
from prepe.attacks.certificate import certificate, decoded, fit_decoders, perceptron, widened
from prepe.catalog import Leakage
from prepe.data import streams
from prepe.data.task import Task
from prepe.errors import PrepeError
from prepe.metrics import geometry, selectivity
from prepe.models import Model

_LEAST = 4
"""So many target items are needed: two to learn from, and two to test on."""
_LEAST_GAIN = 0.05
"""What is known of a concept beyond the bystanders counts as this part of its variance at least."""
_DIGITS = 9


def leakage(
    part: Leakage,
    model: Model,
    trained: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    basis: np.ndarray,
    task: Task,
    similarity: np.ndarray,
    d_star: float,
    seeds: list[int],
) -> dict[str, np.ndarray]:
    """Search edited latents for a concept; see `catalog.Leakage`. All latents are those of the intervention's site.

    Args:
        part: how.
        model: what is left of the model.
        trained: edited latents of the training items, `(members, n, latent)`.
        before, after: latents of the grid items, and the edited ones, `(members, n, latent)`; a pruned model's have
            another width.
        basis: where the concept was before: a direction `(latent,)`, orthonormal rows `(k, latent)`, or each member's
            own rows `(members, k, latent)`.
        task: whose items they are.
        similarity: of the grid items to the concept, `(n,)`.
        d_star: D*, the damage of an ideal deletion.
        seeds: the members'.

    Returns:
        `leak_lin`, `leak_mlp`, `leak_lin_auroc`, `leak_mlp_auroc`, `leak_ctrl`, `leak_mdl`, `leak_cert` and
        `leak_norm`, `(members,)` each; `catalog.EFFECT_METRICS` says what each means. A member with a latent that is
        not finite has NaN in all.

    Raises:
        PrepeError: see `halves`.
    """
    fit, test = halves(similarity)
    sound = np.asarray(np.all([np.isfinite(each).all((1, 2)) for each in (trained, before, after)], axis=0))
    trained, before, after = (np.where(sound[:, None, None], each, 0.0) for each in (trained, before, after))
    floor = before[:, nearest_bystander(task.grid.inputs, similarity)]
    found = {
        **_linear(part, before, after, floor, similarity, fit, test, seeds),
        **_nonlinear(part, before, after, floor, similarity, fit, test, seeds),
        "leak_cert": certificate(part, model, trained, after, task, similarity, d_star, seeds),
        "leak_norm": _norm(before, after, basis),
    }
    return {name: np.where(sound, each, np.nan) for name, each in found.items()}


def halves(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part items into those to learn from and those to test on: of targets, of bystanders and of the rest half each.

    Args:
        similarity: `(n,)`.

    Returns:
        Indices in order, at random but the same every time.

    Raises:
        PrepeError: too few items are targets, or all are.
    """
    target, bystander = selectivity.targets(similarity), selectivity.bystanders(similarity)
    n, least = len(similarity), _LEAST
    if not least <= target.sum() <= n - least:
        raise PrepeError(
            f"leakage: {target.sum()} of the {n} items of the grid are of the concept (s^3 > 0.5), and a probe is "
            f"fitted and tested; allowed: {least} to {n - least}"
        )
    order = streams.generator(0, "leakage:halves").permutation(n)
    groups = [order[group[order]] for group in (target, bystander, ~target & ~bystander)]
    fit = np.concatenate([group[: len(group) // 2] for group in groups])
    test = np.concatenate([group[len(group) // 2 :] for group in groups])
    return np.sort(fit), np.sort(test)


def nearest_bystander(inputs: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """Return which bystander is nearest to each item, itself or the first of equally near ones, `(n,)`.

    Where there is none, all are given the first item, so that nothing is known of any.
    """
    others = np.flatnonzero(selectivity.bystanders(similarity))
    if not len(others):
        return np.zeros(len(inputs), dtype=int)
    found = np.arange(len(inputs))
    rest = np.setdiff1d(found, others)
    distance = np.zeros((len(rest), len(others)))
    for own, there in zip(inputs[rest].T, inputs[others].T, strict=True):
        distance += (own[:, None] - there) ** 2
    found[rest] = others[distance.round(_DIGITS).argmin(1)]
    return found


def excess(after: np.ndarray, before: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Return which part is left of what was known beyond the bystanders.

    (R2 after - R2 floor) / (R2 before - R2 floor), with at least 0.05 below
    """
    return (after - floor) / np.maximum(before - floor, _LEAST_GAIN)


def _linear(
    part: Leakage,
    before: np.ndarray,
    after: np.ndarray,
    floor: np.ndarray,
    similarity: np.ndarray,
    fit: np.ndarray,
    test: np.ndarray,
    seeds: list[int],
) -> dict[str, np.ndarray]:
    y = selectivity.targets(similarity).astype(float)
    stream = streams.generator(0, "leakage:stream").permutation(len(y))

    def explained(latents: np.ndarray) -> float:
        x = probes.standardized(latents, fit)
        return probes.r2(similarity[test], probes.predicted(x[test], probes.ridge(x[fit], similarity[fit])))

    def of_member(member: int, seed: int) -> dict[str, float]:
        x = probes.standardized(after[member], fit)
        weights = probes.logistic(x[fit], y[fit], probes.balanced(y[fit]))
        return {
            "after": explained(after[member]),
            "before": explained(before[member]),
            "floor": explained(floor[member]),
            "leak_lin_auroc": probes.auroc(y[test], probes.predicted(x[test], weights)),
            "leak_ctrl": probes.control_gap(x, y, fit, test, _shuffled(part.shuffles, seed, fit, test)),
            "leak_mdl": probes.compression(after[member], y, stream),
        }

    rows = [of_member(member, seed) for member, seed in enumerate(seeds)]
    found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {"leak_lin": excess(found.pop("after"), found.pop("before"), found.pop("floor")), **found}


def _shuffled(count: int, seed: int, fit: np.ndarray, test: np.ndarray) -> list[np.ndarray]:
    random = streams.generator(seed, "leakage:shuffled")
    orders = np.empty((count, len(fit) + len(test)), dtype=int)
    for order in orders:
        order[fit], order[test] = random.permutation(fit), random.permutation(test)
    return list(orders)


def _nonlinear(
    part: Leakage,
    before: np.ndarray,
    after: np.ndarray,
    floor: np.ndarray,
    similarity: np.ndarray,
    fit: np.ndarray,
    test: np.ndarray,
    seeds: list[int],
) -> dict[str, np.ndarray]:
    """Fit perceptrons on all three at once, with the same new weights and draws for each."""
    y = selectivity.targets(similarity).astype(float)
    width = max(2, before.shape[-1], after.shape[-1])
    x = np.concatenate([widened(each, width) for each in (after, before, floor)])
    x = np.stack([probes.standardized(each, fit) for each in x])
    both = probes.standardized(np.stack([similarity, y], axis=-1), fit)
    model = perceptron(width, part.hidden_dim, both.shape[1])
    params = fit_decoders(
        model, x[:, fit], both[fit], np.ones(len(fit)), seeds=seeds * 3, stream="leakage:probe", part=part
    )
    outputs = decoded(model, params, x[:, test])
    explained = np.array([probes.r2(both[test, 0], each[:, 0]) for each in outputs]).reshape(3, -1)
    return {
        "leak_mlp": excess(*explained),
        "leak_mlp_auroc": np.array([probes.auroc(y[test], each[:, 1]) for each in outputs[: len(seeds)]]),
    }


def _norm(before: np.ndarray, after: np.ndarray, basis: np.ndarray) -> np.ndarray:
    aligned = geometry.alignment(before, basis)
    return np.array([probes.norm_channel(each, cos) for each, cos in zip(after, aligned, strict=True)])
