"""How selectively an intervention removed a concept: errors before and after in, named numbers out.

Everything is over the last dimension, items; leading dimensions are members. D* is the damage that replacing the pure
concept by the fallback does, s the graded similarity in [0, 1], p the intervention's power; the ideal damage is D* s^p.

Source: Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 45 (1989), for `score_ccc`;
arXiv:2512.12469 for `score_r2`.
"""

import numpy as np

_TARGET, _BYSTANDER, _GROUP_POWER = 0.5, 0.01, 3
_SELECTIVITY_EPSILON = 1e-4


def score_r2(similarity: np.ndarray, after: np.ndarray, power: float) -> np.ndarray:
    """Squared Pearson correlation of s^p with the error after; blind to sign, scale and offset.

    Args:
        similarity: `(items,)`.
        after: `(*members, items)`.
        power: p.

    Returns:
        `(*members,)` in [0, 1]; 0 where the error is the same everywhere.
    """
    x = similarity**power
    x, y = x - x.mean(), after - after.mean(-1, keepdims=True)
    spread = np.sqrt((x**2).sum() * (y**2).sum(-1))
    return ((y * x).sum(-1) / np.where(spread > 0, spread, np.inf)) ** 2


def concordance(actual: np.ndarray, ideal: np.ndarray) -> np.ndarray:
    """Lin's concordance of two responses over items; 1 only where they are equal.

    2 cov(a, b) / (var a + var b + (mean a - mean b)^2)

    Args:
        actual: `(*members, items)`.
        ideal: `(items,)`, not constant.
    """
    return _agreement(actual, ideal)


def _agreement(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Lin's concordance over the last dimension; 0 where both are the same constant."""
    covariance = ((a - a.mean(-1, keepdims=True)) * (b - b.mean(-1, keepdims=True))).mean(-1)
    spread = a.var(-1) + b.var(-1) + (a.mean(-1) - b.mean(-1)) ** 2
    return 2 * covariance / np.where(spread == 0, 1.0, spread)


def effects(
    before: np.ndarray, after: np.ndarray, similarity: np.ndarray, power: float, d_star: float
) -> dict[str, np.ndarray]:
    """Measure one intervention on the selectivity grid.

    Targets are items with s^3 > 0.5, bystanders those with s^3 < 0.01, whatever the power.

    Args:
        before, after: errors, `(*members, items)`.
        similarity: `(items,)`.
        power: p of the ideal response.
        d_star: D*, above 0.

    Returns:
        Metric name -> `(*members,)`; `catalog.EFFECT_METRICS` says what each means.
    """
    added, ideal = after - before, d_star * similarity**power
    target, bystander = targets(similarity), bystanders(similarity)
    # `compress` keeps items contiguous, so that a mean is summed in the same order for one member as for sixty
    harm = np.maximum(np.compress(bystander, added, axis=-1), 0.0)
    on_target = np.compress(target, added, axis=-1)
    damage, collateral = on_target.mean(-1), harm.mean(-1)
    damage_frac = damage / ideal[target].mean()
    collateral_p95 = np.quantile(harm, 0.95, axis=-1)
    x = ideal / d_star
    slope = ((added - added.mean(-1, keepdims=True)) * (x - x.mean())).mean(-1) / x.var()
    return {
        "score_ccc": concordance(added, ideal),
        "damage": damage,
        "damage_frac": damage_frac,
        "damage_min": on_target.min(-1),
        "collateral": collateral,
        "collateral_p95": collateral_p95,
        "collateral_max": harm.max(-1),
        "sel_log": np.log10((np.maximum(damage, 0) + _SELECTIVITY_EPSILON) / (collateral + _SELECTIVITY_EPSILON)),
        "cause_isolate": (np.clip(damage_frac, 0, 1) + 1 - np.minimum(collateral_p95 / d_star, 1)) / 2,
        "falloff_cal": np.abs(added - ideal).mean(-1) / d_star,
        "falloff_slope": slope / d_star,
        "falloff_offset": added.mean(-1) - slope * x.mean(),
    }


def bound(added: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Compare damage with what was predicted before the intervention from alignments, both `(*members, items)`."""
    return {
        "bound_ccc": _agreement(added, predicted),
        "bound_gap": np.maximum(added - predicted, 0).max(-1),
    }


def targets(similarity: np.ndarray) -> np.ndarray:
    """Return which items are of the concept, `(items,)`."""
    return similarity**_GROUP_POWER > _TARGET


def bystanders(similarity: np.ndarray) -> np.ndarray:
    """Return which items an intervention should leave alone, `(items,)`."""
    return similarity**_GROUP_POWER < _BYSTANDER


def task_cost(error: np.ndarray, twin_error: np.ndarray) -> np.ndarray:
    """Return what the regularizers cost the task: log10 of the error over the twin's, each plus 1e-6, `(*members,)`."""
    return np.log10(error + 1e-6) - np.log10(twin_error + 1e-6)
