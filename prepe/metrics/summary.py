"""Numbers over members: one value a member in, one statistic out, with broken members counted as the worst."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from prepe.catalog import Metric

_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "median": np.median,
    "mean": np.mean,
    "rate": np.mean,
    "min": np.min,
    "max": np.max,
}


def with_worst(values: np.ndarray, metric: Metric) -> np.ndarray:
    """Return values with every one that is not a number replaced by the metric's worst."""
    return np.where(np.isnan(values), metric.worst, values)


def statistic(name: str, values: np.ndarray, metric: Metric) -> float:
    """Return a statistic over members, `(members,)`; see `statistics`."""
    return float(statistics(name, values, metric))


def statistics(name: str, values: np.ndarray, metric: Metric) -> np.ndarray:
    """Return a statistic over members, one for each of several samples of them.

    Args:
        name: one of `catalog.STATISTICS`; `rate` is the mean of a flag, `worst_decile` the mean of the worst tenth,
            rounded up (CVaR).
        values: `(*samples, members)`; NaN marks a broken member, which counts as the metric's worst and is never
            dropped.
        metric: says which way is worse.

    Returns:
        `(*samples,)`.
    """
    values = np.sort(with_worst(np.asarray(values, dtype=float), metric), axis=-1)
    members = values.shape[-1]
    if name == "worst_decile":
        tail = math.ceil(members / 10)
        return np.asarray((values[..., -tail:] if metric.goal == "min" else values[..., :tail]).mean(-1))
    if name == "sd":
        return values.std(-1, ddof=1) if members > 1 else np.full(values.shape[:-1], math.nan)
    if name in _REDUCTIONS:
        return np.asarray(_REDUCTIONS[name](values, axis=-1))
    return np.asarray(np.quantile(values, {"q25": 0.25, "q75": 0.75}[name], axis=-1))
