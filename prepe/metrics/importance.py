"""A search's points and an outcome of each in; how much of the outcome's ranks each parameter explains, out.

A trial's rank in the outcome is regressed on the parameter's own rank and its square, so that any bend with one turn
counts, and no scale, no outlier and no worst value of a broken trial weighs more than its rank. What parameters do
only together is not seen, and what a sampler changed along with a parameter counts for it.

Source: Conover and Iman, "Rank transformations" (1981); chance by permutation, Good, "Permutation tests" (2000).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

PERMUTATIONS = 999
_QUANTILE = 0.95


class Importance(NamedTuple):
    """How much of an outcome's ranks a parameter explains: its share, and the share that chance reaches once in 20."""

    share: float
    chance: float

    @property
    def is_more_than_chance(self) -> bool:
        return self.share > self.chance


def importance(parameters: Mapping[str, Sequence[float | str]], outcome: np.ndarray) -> dict[str, Importance]:
    """Return how much of an outcome's ranks each parameter explains, R^2 in [0, 1], the largest first.

    Args:
        parameters: a value a trial; texts are names without an order.
        outcome: one number a trial, `(trials,)`; those that are not a number are left out.

    Returns:
        Nothing for fewer than four trials, or where the outcome is the same for all;
        nothing of a parameter that is the same for all, or a name for each.
    """
    kept = np.flatnonzero(~np.isnan(outcome))
    if len(kept) < 4 or np.ptp(ranks := rankdata(outcome[kept])) == 0:
        return {}
    rng = np.random.default_rng(0)
    shuffled = np.stack([ranks, *(rng.permutation(ranks) for _ in range(PERMUTATIONS))])
    shuffled = shuffled - ranks.mean()
    found = {}
    for name, values in parameters.items():
        basis = _basis([values[int(i)] for i in kept])
        if 0 < basis.shape[1] < len(kept) - 1:
            shares = ((shuffled @ basis) ** 2).sum(-1) / (shuffled**2).sum(-1)
            found[name] = Importance(float(shares[0]), float(np.quantile(shares[1:], _QUANTILE)))
    return dict(sorted(found.items(), key=lambda item: -item[1].share))


def _basis(values: Sequence[float | str]) -> np.ndarray:
    """Return what a parameter can say beside a mean, as orthonormal columns `(trials, k)`."""
    if any(isinstance(each, str) for each in values):
        names = sorted(set(map(str, values)))
        columns = np.array([[float(str(each) == name) for name in names] for each in values])
    else:
        rank = rankdata(np.array(values, dtype=float))
        rank = (rank - rank.mean()) / len(rank)
        columns = np.stack([rank, rank**2], axis=-1)
    left, sizes, _ = np.linalg.svd(columns - columns.mean(0), full_matrices=False)
    return np.asarray(left[:, sizes > 1e-9 * max(1.0, sizes.max(initial=0.0))])
